//! The interface of a handler of messages.

use async_trait::async_trait;

use super::error::HandleError;
use super::received::Received;

/// Handles messages. Must accept the same message any number of times, also concurrently.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one message, which is acknowledged after this returns.
    async fn handle(&self, message: &Received) -> Result<(), HandleError>;

    /// Fails while no message can be handled, because the database is not available. It is
    /// called before messages are consumed and after a message failed: while it fails, the
    /// failure is not caused by the message.
    async fn available(&self) -> Result<(), String> {
        Ok(())
    }
}
