//! Reads a queue of waiting messages without consuming it.

use std::fmt;
use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::BasicGetOptions;
use lapin::{Channel, Connection};

use crate::broker::{BrokerError, look_at_queue, reply};
use crate::topology::{EVENTS_EXCHANGE, UNROUTED_QUEUE, parked_queue};

/// How often it is checked whether the broker has requeued the messages that were read: for at
/// most a second.
const REQUEUE_CHECKS: usize = 20;
/// Between two of these checks.
const REQUEUE_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A queue whose messages wait for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorQueue {
    /// The messages that the consumer of this queue could not handle; they return to the queue.
    Parked(String),
    /// The events that no queue was bound for; they are routed anew.
    Unrouted,
}

impl From<&str> for OperatorQueue {
    fn from(queue: &str) -> Self {
        Self::Parked(queue.to_owned())
    }
}

impl OperatorQueue {
    fn name(&self) -> String {
        match self {
            Self::Parked(queue) => parked_queue(queue),
            Self::Unrouted => UNROUTED_QUEUE.to_owned(),
        }
    }

    /// Exchange and routing key that a message is published with again.
    pub(super) fn destination<'a>(&'a self, delivery: &'a Delivery) -> (&'static str, &'a str) {
        match self {
            Self::Parked(queue) => ("", queue),
            Self::Unrouted => (EVENTS_EXCHANGE, delivery.routing_key.as_str()),
        }
    }
}

impl fmt::Display for OperatorQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parked(queue) => f.write_str(queue),
            Self::Unrouted => f.write_str(UNROUTED_QUEUE),
        }
    }
}

/// Takes messages from one queue and does not acknowledge them.
pub(super) struct QueueReader {
    pub(super) channel: Channel,
    queue: OperatorQueue,
    /// Number of messages when the queue was opened: later messages are not read.
    message_count: u32,
}

impl QueueReader {
    pub(super) async fn open(
        connection: &Connection,
        queue: &OperatorQueue,
    ) -> Result<Self, BrokerError> {
        let name = queue.name();
        let channel = reply("open a channel", connection.create_channel()).await?;
        let message_count = look_at_queue(&channel, &name).await?.message_count();
        Ok(Self {
            channel,
            queue: queue.clone(),
            message_count,
        })
    }

    /// The numbers of the messages that were in the queue, from 1.
    pub(super) fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=usize::try_from(self.message_count).unwrap_or(usize::MAX)
    }

    pub(super) async fn take(&self) -> Result<Option<Delivery>, BrokerError> {
        let name = self.queue.name();
        let taken = self
            .channel
            .basic_get(name.as_str().into(), BasicGetOptions::default());
        let taken = reply("take a message", taken).await?;
        Ok(taken.map(|message| message.delivery))
    }

    /// Returns every message that was not acknowledged to the queue; `acknowledged` says how
    /// many were. The broker requeues them shortly after its reply, so this waits until they
    /// are back: the next reader must find them.
    pub(super) async fn requeue(
        self,
        connection: &Connection,
        acknowledged: usize,
    ) -> Result<(), BrokerError> {
        self.close().await?;
        let acknowledged = u32::try_from(acknowledged).unwrap_or(u32::MAX);
        let stays = self.message_count.saturating_sub(acknowledged);
        for _ in 0..REQUEUE_CHECKS {
            // Another reader may have taken some meanwhile: then the checks end by their number.
            if stays == 0 || message_count(connection, &self.queue).await? >= stays {
                break;
            }
            tokio::time::sleep(REQUEUE_CHECK_INTERVAL).await;
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), BrokerError> {
        reply("close", self.channel.close(200, "done".into())).await
    }
}

/// How many messages are in a queue.
pub(crate) async fn message_count(
    connection: &Connection,
    queue: &OperatorQueue,
) -> Result<u32, BrokerError> {
    let reader = QueueReader::open(connection, queue).await?;
    reader.close().await?;
    Ok(reader.message_count)
}
