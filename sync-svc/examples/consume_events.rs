//! A service that reacts to connected accounts: binds a queue of its own to
//! `latchkey.events` and prints every `account.connected.v1`.
//!
//! ```text
//! AMQP_URL=amqp://… cargo run -p sync-svc --example consume_events
//! ```
//!
//! Nothing of Latchkey's inner crates is needed: RabbitMQ, the protobuf messages
//! of `proto/` and the exchange's name are the contract. Delivery is at least
//! once: `cloudEvents:id` is the same for every delivery of one event.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the example's answer"
)]

use anyhow::Context as _;
use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use latchkey_proto::events::AccountConnected;
use prost::Message as _;

const EXCHANGE: &str = "latchkey.events";
const QUEUE: &str = "example.account-connected";
const ROUTING_KEY: &str = "account.connected.v1";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Only `amqps://` needs it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let url = std::env::var("AMQP_URL").context("set AMQP_URL: amqp://user:password@host/vhost")?;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // Durable and replicated: events wait here while this service is down.
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    channel
        .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    channel
        .queue_bind(
            QUEUE.into(),
            EXCHANGE.into(),
            ROUTING_KEY.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .context("is sync-svc running? It declares the exchange")?;
    channel.basic_qos(16, BasicQosOptions::default()).await?;
    let mut deliveries = channel
        .basic_consume(
            QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    eprintln!("waiting for {ROUTING_KEY}; Ctrl-C ends");

    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let Ok(event) = AccountConnected::decode(delivery.data.as_slice()) else {
            eprintln!("not an AccountConnected: dropped");
            let drop_it = BasicNackOptions {
                requeue: false,
                ..BasicNackOptions::default()
            };
            delivery.acker.nack(drop_it).await?;
            continue;
        };
        print(&delivery.properties, &event);
        // After the work is committed, never before: what is not acknowledged
        // comes again.
        delivery.acker.ack(BasicAckOptions::default()).await?;
    }
    anyhow::bail!("the broker closed the subscription: a real service connects again")
}

fn print(properties: &BasicProperties, event: &AccountConnected) {
    let id = properties
        .headers()
        .as_ref()
        .and_then(|headers| headers.inner().get("cloudEvents:id"))
        .and_then(AMQPValue::as_long_string)
        .map(ToString::to_string)
        .unwrap_or_default();
    let identity = event.identity.clone().unwrap_or_default();
    println!(
        "event {id}: account {} of workspace {}: {} at {}{}, scopes {:?}",
        event.account_id,
        event.workspace_id,
        identity.handle,
        identity.provider,
        if event.reconnected { " (again)" } else { "" },
        event.granted_scopes,
    );
}
