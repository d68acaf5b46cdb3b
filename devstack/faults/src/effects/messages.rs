//! Messages that nobody should send, published directly into the queue of sync-svc.

use anyhow::Context as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use latchkey_messaging::topology::SYNC_SVC_QUEUE;
use tokio::time::timeout;
use uuid::Uuid;

use super::command_timeout::COMMAND_TIMEOUT;
use crate::environment::Environment;
use crate::shadow::Sample;

/// How often a message is published again unchanged.
const DUPLICATES: usize = 3;
/// Length of an oversized message, in bytes.
const OVERSIZED: usize = 2 * 1024 * 1024;

/// Publishes each kind of message once. Those that change an event need one that was published
/// before.
pub(super) async fn publish(environment: &mut Environment) -> anyhow::Result<()> {
    let samples = environment.shadow.samples();
    let url = environment.stack.servers.rabbitmq.url();
    timeout(COMMAND_TIMEOUT, async {
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        send(&channel, b"without headers", BasicProperties::default()).await?;
        for sample in samples {
            for _ in 0..DUPLICATES {
                send(&channel, &sample.body, sample.properties.clone()).await?;
            }
            for (properties, body) in changed(&sample) {
                send(&channel, &body, properties).await?;
            }
        }
        anyhow::Ok(())
    })
    .await
    .context("RabbitMQ does not accept the messages")?
}

/// Returns the sample under other ids: malformed, of an unknown version, oversized, and from the
/// future.
fn changed(sample: &Sample) -> [(BasicProperties, Vec<u8>); 4] {
    let malformed = (another(sample, &[]), b"\xff\xff\xff".to_vec());
    let version = [("cloudEvents:type", "user.authenticated.v9")];
    let unknown = (another(sample, &version), sample.body.clone());
    let oversized = (another(sample, &[]), vec![0xff; OVERSIZED]);
    let time = [("cloudEvents:time", "2126-01-01T00:00:00Z")];
    let future = (another(sample, &time), sample.body.clone());
    [malformed, unknown, oversized, future]
}

/// Returns the properties of the sample with another id and other headers.
fn another(sample: &Sample, changes: &[(&str, &str)]) -> BasicProperties {
    let id = Uuid::new_v4().to_string();
    let mut headers = sample.properties.headers().clone().unwrap_or_default();
    for (name, value) in changes
        .iter()
        .copied()
        .chain([("cloudEvents:id", id.as_str())])
    {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    sample
        .properties
        .clone()
        .with_message_id(id.as_str().into())
        .with_headers(headers)
}

async fn send(channel: &Channel, body: &[u8], properties: BasicProperties) -> anyhow::Result<()> {
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
