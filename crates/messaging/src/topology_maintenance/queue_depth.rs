//! How many messages wait in the queues.

use lapin::Connection;
use metrics::{describe_gauge, gauge};

use crate::broker::{BrokerError, look_at_queue, reply};
use crate::topology::{JobQueue, RetrySchedule, SYNC_SVC_QUEUE, UNROUTED_QUEUE, parked_queue};

/// The queues whose messages are counted.
#[derive(Debug)]
pub(super) struct QueueDepths(Vec<String>);

impl QueueDepths {
    /// The queues of sync-svc, those of its jobs, and the queue of unrouted events.
    pub(super) fn new(retry_schedule: &RetrySchedule) -> Self {
        let retry_queues = retry_schedule
            .delays()
            .iter()
            .map(|delay| RetrySchedule::queue(SYNC_SVC_QUEUE, *delay));
        let mut queues = vec![
            SYNC_SVC_QUEUE.to_owned(),
            parked_queue(SYNC_SVC_QUEUE),
            JobQueue::Messaging.queue().to_owned(),
            JobQueue::Calendar.queue().to_owned(),
            UNROUTED_QUEUE.to_owned(),
        ];
        queues.extend(retry_queues);
        Self(queues)
    }

    /// Creates the gauges.
    pub(super) fn create_gauges(&self) {
        describe_gauge!(
            "latchkey_queue_messages",
            "Messages that wait in a queue of the broker. Every replica measures the same."
        );
        for queue in &self.0 {
            gauge!("latchkey_queue_messages", "queue" => queue.clone()).set(0);
        }
    }

    /// Counts the messages of each queue. A queue that does not exist yet, or not any more, keeps
    /// its number.
    pub(super) async fn measure(&self, connection: &Connection) -> Result<(), BrokerError> {
        for queue in &self.0 {
            // A refusal closes the channel, so each queue has one of its own.
            let channel = reply("open a channel", connection.create_channel()).await?;
            match look_at_queue(&channel, queue).await {
                Ok(found) => {
                    gauge!("latchkey_queue_messages", "queue" => queue.clone())
                        .set(found.message_count());
                    reply("close", channel.close(200, "done".into())).await?;
                }
                Err(error) if connection.status().connected() => {
                    tracing::debug!(queue, %error, "the messages of a queue were not counted");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
