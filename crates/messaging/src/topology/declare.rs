//! Declares exchanges and queues. Every declaration is idempotent; whoever
//! connects declares what it uses.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::{
    EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue, Subscription, UNROUTED_EXCHANGE, UNROUTED_QUEUE,
    parked_queue,
};
use crate::consumer::Ladder;

/// A message whose consumer died this often is parked: it may be what kills it.
const DELIVERY_LIMIT: i64 = 20;
/// RabbitMQ 4 drops after 20 deliveries where nothing is said; 3.10 knows no
/// word for "never".
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;
/// Unrouted events beyond this make room for newer ones.
const UNROUTED_MAX_BYTES: i64 = 256 * 1024 * 1024;

/// Declares the exchanges, the job queues and the queues of `subscriptions`
/// with their parking queues.
///
/// # Errors
/// The broker's refusal, e.g. where a queue exists with other arguments.
pub async fn declare(
    channel: &Channel,
    subscriptions: &[Subscription],
) -> Result<(), lapin::Error> {
    exchange(channel, UNROUTED_EXCHANGE, ExchangeKind::Fanout, false).await?;
    queue(
        channel,
        UNROUTED_QUEUE,
        &[
            ("x-max-length-bytes", number(UNROUTED_MAX_BYTES)),
            ("x-delivery-limit", number(NO_DELIVERY_LIMIT)),
        ],
    )
    .await?;
    bind(channel, UNROUTED_QUEUE, UNROUTED_EXCHANGE, "").await?;
    exchange(channel, EVENTS_EXCHANGE, ExchangeKind::Topic, true).await?;
    exchange(channel, JOBS_EXCHANGE, ExchangeKind::Direct, true).await?;
    for jobs in [JobQueue::Messaging, JobQueue::Calendar] {
        queue(
            channel,
            jobs.queue(),
            &[("x-delivery-limit", number(NO_DELIVERY_LIMIT))],
        )
        .await?;
        bind(channel, jobs.queue(), JOBS_EXCHANGE, jobs.routing_key()).await?;
    }
    for subscription in subscriptions {
        declare_subscription(channel, subscription).await?;
    }
    Ok(())
}

async fn declare_subscription(
    channel: &Channel,
    subscription: &Subscription,
) -> Result<(), lapin::Error> {
    let parked = parked_queue(&subscription.queue);
    queue(
        channel,
        &parked,
        &[("x-delivery-limit", number(NO_DELIVERY_LIMIT))],
    )
    .await?;
    queue(
        channel,
        &subscription.queue,
        &[
            ("x-delivery-limit", number(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&parked)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ],
    )
    .await?;
    for key in &subscription.routing_keys {
        bind(channel, &subscription.queue, EVENTS_EXCHANGE, key).await?;
    }
    Ok(())
}

/// Declares the delay queues of a consumer's ladder: what waits there for its
/// time comes back to the queue.
pub(crate) async fn declare_retries(
    channel: &Channel,
    of: &str,
    ladder: &Ladder,
) -> Result<(), lapin::Error> {
    for delay in ladder.delays() {
        queue(
            channel,
            &Ladder::queue(of, *delay),
            &[
                ("x-message-ttl", number(milliseconds(*delay))),
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(of)),
                // Quorum queues since RabbitMQ 3.10: not lost on the way back.
                ("x-dead-letter-strategy", text("at-least-once")),
                ("x-overflow", text("reject-publish")),
            ],
        )
        .await?;
    }
    Ok(())
}

async fn exchange(
    channel: &Channel,
    name: &str,
    kind: ExchangeKind,
    keeps_unrouted: bool,
) -> Result<(), lapin::Error> {
    let mut arguments = FieldTable::default();
    if keeps_unrouted {
        arguments.insert("alternate-exchange".into(), text(UNROUTED_EXCHANGE));
    }
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name.into(), kind, durable, arguments)
        .await
}

async fn queue(
    channel: &Channel,
    name: &str,
    arguments: &[(&'static str, AMQPValue)],
) -> Result<(), lapin::Error> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (key, value) in arguments {
        table.insert((*key).into(), value.clone());
    }
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), table)
        .await
        .map(drop)
}

async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    routing_key: &str,
) -> Result<(), lapin::Error> {
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            routing_key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: i64) -> AMQPValue {
    AMQPValue::LongLongInt(value)
}

fn milliseconds(delay: Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}
