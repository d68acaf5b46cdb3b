//! A service that reacts to connected accounts: binds a queue of its own to
//! `latchkey.events` and prints every `account.connected.v1`.
//!
//! With the development stack running (`cargo dev up`), `cargo dev status --json`
//! prints the broker's URL:
//!
//! ```sh
//! cargo run -p sync-svc --example consume_events -- --amqp-url amqp://…
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
#[command(about = "Prints every connected account, as it is told on the exchange")]
struct Arguments {
    /// The broker.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: String,
    /// The queue to bind; events wait in it while the example does not run.
    #[arg(long, default_value = "example.account-connected")]
    queue: String,
    /// Ends after this many events; runs on where absent.
    #[arg(long)]
    count: Option<usize>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let queue = arguments.queue.as_str();
    // Only `amqps://` needs it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let connection =
        Connection::connect(&arguments.amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    // Durable and replicated: events wait here while this service is down.
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
            anyhow::bail!("the broker closed the subscription: a real service connects again");
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
        // After the work is committed, never before: what is not acknowledged
        // comes again.
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
