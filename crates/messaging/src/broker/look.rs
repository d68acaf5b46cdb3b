use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Queue};

use super::error::{BrokerError, reply};

/// Asks for the messages and consumers of a queue, by a passive declaration, which changes nothing.
/// A refusal, such as that there is no such queue, closes the channel.
pub(crate) async fn look_at_queue(channel: &Channel, queue: &str) -> Result<Queue, BrokerError> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
    reply("look at the queue", declared).await
}
