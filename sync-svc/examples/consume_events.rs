//! An example of a service that reacts to connected accounts: it binds its own queue to
//! `latchkey.events` and prints every `account.connected.v1`.
//!
//! With the development stack running (`cargo dev up`), `cargo dev status --json`
//! prints the broker's URL:
//!
//! ```sh
//! cargo run -p sync-svc --example consume_events -- --amqp-url amqp://…
//! ```
//!
//! It uses no internal crate of Latchkey: the contract is RabbitMQ, the protobuf messages
//! of `proto/` and the name of the exchange. Delivery is at least once: `cloudEvents:id`
//! is the same for every delivery of one event.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the example's answer"
)]

use anyhow::Context as _;
use clap::Parser;
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
const ROUTING_KEY: &str = "account.connected.v1";

#[derive(Parser)]
#[command(about = "Prints every connected account that is published")]
struct Arguments {
    /// URL of the broker.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: String,
    /// Queue to bind; it keeps the events while the example does not run.
    #[arg(long, default_value = "example.account-connected")]
    queue: String,
    /// Number of events after which the example ends; without it, it does not end.
    #[arg(long)]
    count: Option<usize>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let queue = arguments.queue.as_str();
    // Needed only for `amqps://`.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let connection =
        Connection::connect(&arguments.amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // Durable and replicated: the queue keeps events while this service is down.
    let mut quorum = FieldTable::default();
    quorum.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), quorum)
        .await?;
    channel
        .queue_bind(
            queue.into(),
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
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    eprintln!("waiting for {ROUTING_KEY}; Ctrl-C ends");

    let mut printed = 0;
    while arguments.count.is_none_or(|count| printed < count) {
        let Some(delivery) = deliveries.next().await else {
            anyhow::bail!("the broker closed the connection; a real service would connect again");
        };
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
        // After the work is committed, never before: an event that is not acknowledged is
        // delivered again.
        delivery.acker.ack(BasicAckOptions::default()).await?;
        printed += 1;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
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
