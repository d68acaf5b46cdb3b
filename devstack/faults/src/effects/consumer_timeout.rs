//! A consumer time-out: RabbitMQ closes the channel of a consumer that does not acknowledge.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use devstack::polling::eventually;
use lapin::options::ConfirmSelectOptions;
use lapin::{BasicProperties, Channel};
use latchkey_messaging::topology::SYNC_SVC_QUEUE;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::sending::send;
use super::{broker, service};
use crate::environment::Environment;
use crate::part::Target;
use crate::planted::Fate;

/// New channels end a consumer that does not acknowledge within 1 s, and look for one every 200 ms.
const SHORT: &str = "application:set_env(rabbit, consumer_timeout, 1000), \
                     application:set_env(rabbit, channel_tick_interval, 200).";
/// The defaults of RabbitMQ.
const DEFAULT: &str = "application:set_env(rabbit, consumer_timeout, 1800000), \
                       application:set_env(rabbit, channel_tick_interval, 60000).";
/// How long sync-svc may take to subscribe again, and RabbitMQ to end the subscription.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long sync-svc stands still at most until it does so again: it may have stopped just between two
/// subscriptions.
const STANDS_STILL: Duration = Duration::from_secs(10);
/// How long it runs then.
const RUNS: Duration = Duration::from_secs(2);
/// A message that sync-svc stands still with. It cannot be handled.
const BODY: &[u8] = b"for a consumer that stands still";
/// Time between two looks at the log.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// What RabbitMQ's log says of a consumer time-out.
const TIMED_OUT: &str = "has timed out waiting for delivery acknowledgement";
/// Lists the consumers.
const LIST: [&str; 6] = [
    "list_consumers",
    "--silent",
    "--formatter",
    "json",
    "queue_name",
    "channel_pid",
];

/// A consumer, as rabbitmqctl lists it.
#[derive(Deserialize)]
struct Subscribed {
    queue_name: String,
    channel_pid: String,
}

/// Lets sync-svc subscribe on a channel with a short limit, stops it, and sends it a message. Returns
/// when RabbitMQ closes the channel. Channels that exist keep their limit.
pub(super) async fn begin(environment: &mut Environment) -> anyhow::Result<()> {
    broker::control(environment, &["eval", SHORT]).await?;
    let channel = broker::channel(environment).await?;
    let options = ConfirmSelectOptions::default();
    channel.confirm_select(options).await?;
    let before = channels(environment).await?;
    broker::close_connections_of(environment, Target::Sync).await?;
    eventually(TIMEOUT, "a new subscription of sync-svc", async || {
        let now = channels(environment).await?;
        Ok(now.difference(&before).next().map(|_| ()))
    })
    .await?;
    let log = environment.stack.directory().join("rabbitmq.log");
    let timed_out = times(&log)?;
    let begun = Instant::now();
    loop {
        service::pause(environment, Target::Sync)?;
        plant(&channel, environment).await?;
        let waited = eventually(STANDS_STILL, "a consumer time-out", async || {
            sleep(LOOK_INTERVAL).await;
            Ok((times(&log)? > timed_out).then_some(()))
        });
        let waited = waited.await;
        if waited.is_ok() || begun.elapsed() > TIMEOUT {
            return waited;
        }
        service::resume(environment, Target::Sync)?;
        sleep(RUNS).await;
    }
}

/// Publishes a message that cannot be handled.
async fn plant(channel: &Channel, environment: &mut Environment) -> anyhow::Result<()> {
    let id = Uuid::new_v4();
    let properties = BasicProperties::default().with_message_id(id.to_string().into());
    send(channel, BODY, properties).await?;
    environment.planted.fates.insert(id, Fate::Parked);
    Ok(())
}

/// New channels have the usual limit, and sync-svc goes on.
pub(super) async fn end(environment: &mut Environment) -> anyhow::Result<()> {
    let restored = broker::control(environment, &["eval", DEFAULT]).await;
    service::resume(environment, Target::Sync)?;
    restored
}

/// Returns the channels that sync-svc consumes on. The first number of a process is left out: it is
/// that of the node, as rabbitmqctl counts.
async fn channels(environment: &Environment) -> anyhow::Result<BTreeSet<String>> {
    let output = broker::output_of(environment, &LIST).await?;
    let consumers: Vec<Subscribed> = serde_json::from_slice(&output)?;
    let own = consumers
        .into_iter()
        .filter(|consumer| consumer.queue_name == SYNC_SVC_QUEUE);
    let channel = |consumer: Subscribed| {
        let process = consumer.channel_pid.split_once('.');
        process.map(|(_, process)| process.to_owned())
    };
    Ok(own.filter_map(channel).collect())
}

/// Returns how often RabbitMQ's log says that a consumer has timed out. RabbitMQ keeps the channel
/// until the client has agreed, and says it again and again.
fn times(log: &Path) -> anyhow::Result<usize> {
    let text = std::fs::read(log)?;
    Ok(String::from_utf8_lossy(&text).matches(TIMED_OUT).count())
}
