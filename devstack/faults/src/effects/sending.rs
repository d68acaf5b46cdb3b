//! Publishing into the queue of sync-svc.

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use latchkey_messaging::topology::SYNC_SVC_QUEUE;

/// Publishes a message, and waits until RabbitMQ confirms it.
pub(super) async fn send(
    channel: &Channel,
    body: &[u8],
    properties: BasicProperties,
) -> anyhow::Result<()> {
    channel
        .basic_publish(
            "".into(),
            SYNC_SVC_QUEUE.into(),
            BasicPublishOptions::default(),
            body,
            properties,
        )
        .await?
        .await?;
    Ok(())
}
