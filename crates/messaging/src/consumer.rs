//! Consumes a queue: at least once, with the acknowledgement after the handler's commit.
//!
//! If the handler asks for a retry, the message waits in one of the retry queues. A message
//! that cannot be handled at all is parked with the reason. While the handler is not available
//! ([`Handler::available`]), nothing is consumed and no attempt is counted. A message whose
//! handler's process dies is delivered again, alone: if it is what kills the process, it does
//! not affect others.

mod acknowledger;
mod delivery;
mod error;
mod handler;
mod received;
mod session;
mod setup;

use tokio_util::sync::CancellationToken;

use crate::broker::RetryDelay;

pub use crate::topology::RetrySchedule;
pub use error::HandleError;
pub use handler::Handler;
pub use received::Received;
pub use setup::Consumer;

use session::{Session, SessionEnd};

impl Consumer {
    /// Runs until `stop`, through any failure of the broker. Finishes the messages that are
    /// being handled; the broker delivers the others to another consumer.
    pub async fn run(self, stop: CancellationToken) {
        delivery::create_metrics(self.subscription);
        let mut retry_delay = RetryDelay::new();
        let mut outage = RetryDelay::new();
        while !stop.is_cancelled() {
            if let Err(reason) = self.available().await {
                tracing::warn!(queue = self.subscription.queue, reason, "consuming pauses");
                if !outage.wait(&stop).await {
                    return;
                }
                continue;
            }
            match Session::run(&self, &mut retry_delay, &stop).await {
                Ok(SessionEnd::Stopped) => return,
                Ok(SessionEnd::Unavailable { handled }) => {
                    if handled {
                        outage.reset();
                    }
                    if !outage.wait(&stop).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = self.subscription.queue, %error, "consumer starts again");
                    if !retry_delay.wait(&stop).await {
                        return;
                    }
                }
            }
        }
    }
}
