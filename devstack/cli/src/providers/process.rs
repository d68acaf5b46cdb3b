//! The process of a provider's server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_servers::Child;
use nix::sys::signal::Signal;

/// How long a server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's process; empty while it does not run.
#[derive(Default)]
pub(super) struct Process(Mutex<Option<Child>>);

impl Process {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the running process.
    pub(super) fn set_running(&self, child: Child) {
        *self.child() = Some(child);
    }

    /// Stops it with SIGTERM.
    pub(super) fn stop(&self) {
        if let Some(mut child) = self.child().take() {
            child.stop(Signal::SIGTERM, STOP_TIMEOUT);
        }
    }

    /// Suspends it: it accepts connections and does not respond.
    pub(super) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Resumes it after a pause.
    pub(super) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = self.child().as_ref() {
            child.signal(signal);
        }
    }
}
