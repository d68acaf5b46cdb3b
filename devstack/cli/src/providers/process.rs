//! The process of a server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_servers::Child;
use nix::sys::signal::Signal;

/// How long a server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's process, while it runs.
#[derive(Default)]
pub(super) struct Process(Mutex<Option<Child>>);

impl Process {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It runs and answers.
    pub(super) fn set_running(&self, child: Child) {
        *self.child() = Some(child);
    }

    /// Stops it as an operator does.
    pub(super) fn stop(&self) {
        if let Some(mut child) = self.child().take() {
            child.stop(Signal::SIGTERM, STOP_TIMEOUT);
        }
    }

    /// It takes connections and answers nothing.
    pub(super) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// It goes on where it was.
    pub(super) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = self.child().as_ref() {
            child.signal(signal);
        }
    }
}
