//! Running watches, and the limit of their number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tonic::Status;

/// After a refusal, watching is not tried for this long.
const REFUSED_FOR: Duration = Duration::from_mins(10);

/// A running watch. It ends when its cache entry is removed.
pub(crate) struct WatchHandle(pub(super) AbortHandle);

impl WatchHandle {
    pub(crate) fn is_running(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Limits the number of streams, and pauses all of them after a refusal.
pub(crate) struct Watches {
    permits: Arc<Semaphore>,
    refused_until: Mutex<Option<Instant>>,
}

impl Watches {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            refused_until: Mutex::default(),
        }
    }

    /// A permit for one more stream.
    pub(crate) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let refused = self.refused_until();
        if refused.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Logged once: the client works without watches.
    pub(super) fn refused(&self, status: &Status) {
        let before = self.refused_until().replace(Instant::now() + REFUSED_FOR);
        if before.is_none() {
            tracing::info!(
                code = ?status.code(),
                reason = status.message(),
                "accounts cannot be watched: changes are noticed when tokens are revalidated"
            );
        }
    }

    fn refused_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.refused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
