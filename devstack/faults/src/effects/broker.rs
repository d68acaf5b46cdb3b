//! Faults of RabbitMQ.

use std::time::Duration;

use anyhow::Context as _;
use devstack::polling::eventually;
use lapin::options::{QueueBindOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use latchkey_messaging::topology::{EVENTS_EXCHANGE, SYNC_SVC_QUEUE, Subscription};
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::command_timeout::COMMAND_TIMEOUT;
use crate::environment::{AGE_OF_NUMBERS, Environment};
use crate::part::Target;
use crate::shadow::SHADOW_QUEUE;

/// How long sync-svc may take to empty its queue before the queue is deleted, and to declare it
/// again, which it does every 30 s.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(2);
/// Time between two looks at the queue.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The share of the memory at which RabbitMQ raises its alarm by default.
const MEMORY_SHARE: &str = "0.4";
/// More bytes than any disk has.
const NEVER_FREE: &str = "1000000000000000000";
/// The free bytes below which RabbitMQ raises its alarm otherwise.
const DISK_FREE_LIMIT: &str = "50000000";

pub(super) fn kill(environment: &mut Environment) {
    block_in_place(|| environment.stack.servers.rabbitmq.kill());
}

pub(super) fn stop(environment: &mut Environment) {
    block_in_place(|| environment.stack.servers.rabbitmq.stop());
}

pub(super) async fn resume(environment: &mut Environment) -> anyhow::Result<()> {
    let resumed = environment.stack.servers.rabbitmq.resume().await;
    resumed.context("RabbitMQ does not start again")
}

pub(super) async fn raise_memory_alarm(environment: &mut Environment) -> anyhow::Result<()> {
    control(environment, &["set_vm_memory_high_watermark", "0"]).await?;
    await_alarm(environment).await
}

pub(super) async fn end_memory_alarm(environment: &mut Environment) -> anyhow::Result<()> {
    control(environment, &["set_vm_memory_high_watermark", MEMORY_SHARE]).await
}

pub(super) async fn raise_disk_alarm(environment: &mut Environment) -> anyhow::Result<()> {
    control(environment, &["set_disk_free_limit", NEVER_FREE]).await?;
    await_alarm(environment).await
}

pub(super) async fn end_disk_alarm(environment: &mut Environment) -> anyhow::Result<()> {
    control(environment, &["set_disk_free_limit", DISK_FREE_LIMIT]).await
}

async fn await_alarm(environment: &Environment) -> anyhow::Result<()> {
    let api = environment.api();
    eventually(COMMAND_TIMEOUT, "an alarm of RabbitMQ", async || {
        Ok(api.has_alarm().await.then_some(()))
    })
    .await
}

/// Closes the connections of a service, which are known by the name that it gives them. Any connection
/// may end meanwhile.
pub(super) async fn close_connections_of(
    environment: &mut Environment,
    target: Target,
) -> anyhow::Result<()> {
    let close = format!(
        "[(catch rabbit_networking:close_connection(P, \"a fault of a test\"))
          || P <- rabbit_networking:connections(),
             [{{client_properties, T}}] <-
               [(catch rabbit_networking:connection_info(P, [client_properties]))],
             {{<<\"connection_name\">>, _, <<\"{}\">>}} <- T].",
        target.name()
    );
    control(environment, &["eval", &close]).await
}

pub(super) async fn close_connections(environment: &mut Environment) -> anyhow::Result<()> {
    let arguments = ["close_all_connections", "--vhost", "/", "a fault of a test"];
    control(environment, &arguments).await
}

/// Removes the bindings of sync-svc's queue, waits until sync-svc has emptied it, and deletes it.
/// An event that is published meanwhile has no queue. The shadow queue must not be one, because
/// then nobody would notice that the binding is gone
/// (`docs/decisions/0021-unrouted-is-an-alarm.md`). Events that sync-svc still receives after the
/// shadow queue is unbound are in its inbox, which is evidence too. The unrouted events are not
/// waited for: people cause new ones as long as the bindings are gone.
pub(super) async fn delete_queue(environment: &mut Environment) -> anyhow::Result<()> {
    let channel = channel(environment).await?;
    unbind(&channel, SHADOW_QUEUE).await?;
    let api = environment.api();
    let mut empty_since = None;
    eventually(QUEUE_TIMEOUT, "an empty queue of sync-svc", async || {
        // sync-svc declares its bindings again every 30 s, and messages arrive then.
        let was_unbound = api.is_unbound(EVENTS_EXCHANGE, SYNC_SVC_QUEUE).await;
        unbind(&channel, SYNC_SVC_QUEUE).await?;
        tokio::time::sleep(LOOK_INTERVAL).await;
        let is_empty = was_unbound
            && api.waiting_in_queue().await == Some(0)
            && api.is_unbound(EVENTS_EXCHANGE, SYNC_SVC_QUEUE).await;
        if !is_empty {
            empty_since = None;
            return Ok(None);
        }
        let since = *empty_since.get_or_insert_with(Instant::now);
        Ok((since.elapsed() > AGE_OF_NUMBERS).then_some(()))
    })
    .await?;
    let options = QueueDeleteOptions::default();
    let deleted = channel.queue_delete(SYNC_SVC_QUEUE.into(), options).await?;
    anyhow::ensure!(
        deleted == 0,
        "the suite has deleted {deleted} messages with the queue of sync-svc"
    );
    Ok(())
}

/// Waits until sync-svc has declared its queue again.
pub(super) async fn await_queue(environment: &mut Environment) -> anyhow::Result<()> {
    let api = environment.api();
    eventually(QUEUE_TIMEOUT, "a queue of sync-svc again", async || {
        Ok(api.has_queue(SYNC_SVC_QUEUE).await.then_some(()))
    })
    .await?;
    let channel = channel(environment).await?;
    for key in Subscription::SYNC_SVC.routing_keys {
        channel
            .queue_bind(
                SHADOW_QUEUE.into(),
                EVENTS_EXCHANGE.into(),
                (*key).into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

async fn unbind(channel: &Channel, queue: &str) -> anyhow::Result<()> {
    for key in Subscription::SYNC_SVC.routing_keys {
        channel
            .queue_unbind(
                queue.into(),
                EVENTS_EXCHANGE.into(),
                (*key).into(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

pub(super) async fn channel(environment: &Environment) -> anyhow::Result<Channel> {
    let url = environment.stack.servers.rabbitmq.url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    Ok(connection.create_channel().await?)
}

/// Runs rabbitmqctl.
pub(super) async fn control(environment: &Environment, arguments: &[&str]) -> anyhow::Result<()> {
    output_of(environment, arguments).await.map(drop)
}

/// Runs rabbitmqctl and returns its output.
pub(super) async fn output_of(
    environment: &Environment,
    arguments: &[&str],
) -> anyhow::Result<Vec<u8>> {
    let node = &environment.stack.servers.rabbitmq;
    Ok(node.run_control(arguments, COMMAND_TIMEOUT).await?)
}
