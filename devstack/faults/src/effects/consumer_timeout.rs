//! A consumer time-out: RabbitMQ closes the channel of a consumer that does not acknowledge.

use std::time::Duration;

use devstack::polling::eventually;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use latchkey_messaging::topology::SYNC_SVC_QUEUE;
use uuid::Uuid;

use super::{broker, service};
use crate::environment::Environment;
use crate::fault::Target;
use crate::planted::Fate;

/// New channels end a consumer that does not acknowledge within 1 s, and look for one every 200 ms.
const SHORT: &str = "application:set_env(rabbit, consumer_timeout, 1000), \
                     application:set_env(rabbit, channel_tick_interval, 200).";
/// The defaults of RabbitMQ.
const DEFAULT: &str = "application:set_env(rabbit, consumer_timeout, 1800000), \
                       application:set_env(rabbit, channel_tick_interval, 60000).";
/// How long sync-svc may take to subscribe again, and RabbitMQ to end the subscription.
const TIMEOUT: Duration = Duration::from_mins(1);
/// A message that sync-svc stands still with. It cannot be handled.
const BODY: &[u8] = b"for a consumer that stands still";

/// Lets sync-svc subscribe on a channel with a short limit, stops it, and sends it a message. Returns
/// when RabbitMQ has closed the channel. Channels that exist keep their limit.
pub(super) async fn begin(environment: &mut Environment) -> anyhow::Result<()> {
    broker::control(environment, &["eval", SHORT]).await?;
    let channel = broker::channel(environment).await?;
    let api = environment.api();
    let closed = api.close_connections_of(Target::Sync.name()).await?;
    eventually(TIMEOUT, "a new subscription of sync-svc", async || {
        let consumers = api.consumers(SYNC_SVC_QUEUE).await;
        let is_new = consumers.iter().any(|name| !closed.contains(name));
        Ok(is_new.then_some(()))
    })
    .await?;
    service::pause(environment, Target::Sync)?;
    let id = Uuid::new_v4();
    let properties = BasicProperties::default().with_message_id(id.to_string().into());
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), SYNC_SVC_QUEUE.into(), options, BODY, properties)
        .await?
        .await?;
    environment.planted.fates.insert(id, Fate::Parked);
    eventually(TIMEOUT, "the end of the subscription", async || {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare(SYNC_SVC_QUEUE.into(), options, FieldTable::default())
            .await?;
        Ok((queue.consumer_count() == 0).then_some(()))
    })
    .await
}

/// New channels have the usual limit, and sync-svc goes on.
pub(super) async fn end(environment: &mut Environment) -> anyhow::Result<()> {
    let restored = broker::control(environment, &["eval", DEFAULT]).await;
    service::resume(environment, Target::Sync)?;
    restored
}
