use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the relay of this process. Whoever commits a message calls [`OutboxWaker::wake`] after the
/// commit, so that the message is published at once. A message whose commit wakes no relay, such as
/// that of another process, is published when a relay reads the outbox the next time.
///
/// Clones wake the same relay.
#[derive(Debug, Clone, Default)]
pub struct OutboxWaker(Arc<Notify>);

impl OutboxWaker {
    /// Wakes the relay. A relay that is publishing reads the outbox again after its batch.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Returns after the next call of [`OutboxWaker::wake`], or at once if there was one since the
    /// last return.
    pub(super) async fn woken(&self) {
        self.0.notified().await;
    }
}
