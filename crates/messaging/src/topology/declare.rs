//! Declares exchanges and queues. Every declaration is idempotent. A queue that exists with
//! other arguments is used as it is: the refusal is reported, and neither the other
//! declarations nor the events depend on it.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::AMQPErrorKind;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::names::{
    EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue, RECENT_QUEUE, Subscription, UNROUTED_EXCHANGE,
    UNROUTED_QUEUE, bindings,
};
use super::retry_schedule::RetrySchedule;
use crate::broker::{BrokerError, reply};

/// A message that was delivered this often without an acknowledgement is parked: it may be
/// what kills its consumer.
const DELIVERY_LIMIT: i64 = 20;
/// RabbitMQ 4 drops a message after 20 deliveries by default, and 3.10 has no value for
/// "never".
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;
/// Beyond this size the oldest unrouted events are dropped.
const UNROUTED_MAX_BYTES: i64 = 256 * 1024 * 1024;
/// Beyond this number the oldest events that need no consumer are dropped. A policy of the
/// broker may set a lower limit.
const RECENT_MAX_MESSAGES: i64 = 10_000;
/// The same, as a size.
const RECENT_MAX_BYTES: i64 = 16 * 1024 * 1024;

/// A declaration that the broker refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDeclaration {
    /// What was declared, e.g. `queue latchkey.unrouted`.
    pub what: String,
    /// The broker's reply, which names the argument that differs.
    pub reason: String,
}

impl RefusedDeclaration {
    /// Returns `true` if it is a binding of `queue` that was refused.
    pub(crate) fn is_binding_of(&self, queue: &str) -> bool {
        self.what.starts_with(&format!("binding of {queue} to "))
    }
}

/// Declares the exchanges.
///
/// # Errors
/// The broker does not reply, or the connection ends.
pub async fn declare_exchanges(
    connection: &Connection,
) -> Result<Vec<RefusedDeclaration>, BrokerError> {
    let mut declarer = Declarer::open(connection).await?;
    declarer.exchanges().await?;
    Ok(declarer.finish().await)
}

/// Declares everything: the exchanges, the queues of unrouted and of recent events, the job
/// queues, and the queue of sync-svc with its parking queue.
///
/// # Errors
/// The broker does not reply, or the connection ends.
pub async fn declare(connection: &Connection) -> Result<Vec<RefusedDeclaration>, BrokerError> {
    let mut declarer = Declarer::open(connection).await?;
    declarer.exchanges().await?;
    let limits = [
        ("x-max-length-bytes", number(UNROUTED_MAX_BYTES)),
        ("x-delivery-limit", number(NO_DELIVERY_LIMIT)),
    ];
    declarer.queue(UNROUTED_QUEUE, &limits).await?;
    let limits = [
        ("x-max-length", number(RECENT_MAX_MESSAGES)),
        ("x-max-length-bytes", number(RECENT_MAX_BYTES)),
        ("x-delivery-limit", number(NO_DELIVERY_LIMIT)),
    ];
    declarer.queue(RECENT_QUEUE, &limits).await?;
    for jobs in [JobQueue::Messaging, JobQueue::Calendar] {
        let limits = [("x-delivery-limit", number(NO_DELIVERY_LIMIT))];
        declarer.queue(jobs.queue(), &limits).await?;
    }
    let own = Subscription::SYNC_SVC;
    for binding in bindings().iter().filter(|one| one.queue != own.queue) {
        let (exchange, key) = (binding.exchange, binding.routing_key);
        declarer.bind(binding.queue, exchange, key).await?;
    }
    // Binds its queue itself.
    declarer.subscription(&own).await?;
    Ok(declarer.finish().await)
}

/// Declares what one consumer uses: the exchanges, its queue, its parking queue, and its retry
/// queues, from which messages return to its queue.
///
/// # Errors
/// The broker does not reply, or the connection ends.
pub async fn declare_subscription(
    connection: &Connection,
    subscription: &Subscription,
    retry_schedule: &RetrySchedule,
) -> Result<Vec<RefusedDeclaration>, BrokerError> {
    let mut declarer = Declarer::open(connection).await?;
    declarer.exchanges().await?;
    declarer.subscription(subscription).await?;
    let queue = subscription.queue;
    for delay in retry_schedule.delays() {
        let arguments = [
            ("x-message-ttl", number(milliseconds(*delay))),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(queue)),
            // Since RabbitMQ 3.10 for quorum queues: no message is lost between the queues.
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        let name = RetrySchedule::queue(queue, *delay);
        declarer.queue(&name, &arguments).await?;
    }
    Ok(declarer.finish().await)
}

/// Continues after a refused declaration, which closes the channel.
struct Declarer<'a> {
    connection: &'a Connection,
    channel: Channel,
    refused: Vec<RefusedDeclaration>,
}

impl<'a> Declarer<'a> {
    async fn open(connection: &'a Connection) -> Result<Self, BrokerError> {
        Ok(Self {
            channel: reply("open a channel", connection.create_channel()).await?,
            connection,
            refused: Vec::new(),
        })
    }

    /// Returns the refused declarations. The channel is closed and awaited: a dropped channel
    /// would still be closing while the connection closes.
    async fn finish(self) -> Vec<RefusedDeclaration> {
        let closed = reply("close", self.channel.close(200, "declared".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "channel was closed already");
        }
        self.refused
    }

    async fn exchanges(&mut self) -> Result<(), BrokerError> {
        self.exchange(UNROUTED_EXCHANGE, ExchangeKind::Fanout, false)
            .await?;
        self.exchange(EVENTS_EXCHANGE, ExchangeKind::Topic, true)
            .await?;
        self.exchange(JOBS_EXCHANGE, ExchangeKind::Direct, true)
            .await
    }

    async fn subscription(&mut self, subscription: &Subscription) -> Result<(), BrokerError> {
        let parked = subscription.parked();
        let limits = [("x-delivery-limit", number(NO_DELIVERY_LIMIT))];
        self.queue(&parked, &limits).await?;
        let arguments = [
            ("x-delivery-limit", number(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&parked)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        self.queue(subscription.queue, &arguments).await?;
        for key in subscription.routing_keys {
            self.bind(subscription.queue, EVENTS_EXCHANGE, key).await?;
        }
        Ok(())
    }

    async fn exchange(
        &mut self,
        name: &str,
        kind: ExchangeKind,
        keeps_unrouted: bool,
    ) -> Result<(), BrokerError> {
        let mut arguments = FieldTable::default();
        if keeps_unrouted {
            arguments.insert("alternate-exchange".into(), text(UNROUTED_EXCHANGE));
        }
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared = self
            .channel
            .exchange_declare(name.into(), kind, durable, arguments);
        let outcome = reply("declare an exchange", declared).await;
        self.settle(outcome, || format!("exchange {name}")).await
    }

    async fn queue(
        &mut self,
        name: &str,
        arguments: &[(&'static str, AMQPValue)],
    ) -> Result<(), BrokerError> {
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), text("quorum"));
        for (key, value) in arguments {
            table.insert((*key).into(), value.clone());
        }
        let declared =
            self.channel
                .queue_declare(name.into(), QueueDeclareOptions::durable(), table);
        let outcome = reply("declare a queue", declared).await.map(drop);
        self.settle(outcome, || format!("queue {name}")).await
    }

    async fn bind(&mut self, queue: &str, exchange: &str, key: &str) -> Result<(), BrokerError> {
        let bound = self.channel.queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        let outcome = reply("bind a queue", bound).await;
        self.settle(outcome, || {
            format!("binding of {queue} to {exchange} by {key:?}")
        })
        .await
    }

    async fn settle(
        &mut self,
        outcome: Result<(), BrokerError>,
        what: impl FnOnce() -> String,
    ) -> Result<(), BrokerError> {
        let Err(error) = outcome else {
            return Ok(());
        };
        let Some(reason) = refusal(&error) else {
            return Err(error);
        };
        self.refused.push(RefusedDeclaration {
            what: what(),
            reason,
        });
        self.channel = reply("open a channel", self.connection.create_channel()).await?;
        Ok(())
    }
}

/// The broker's reply if it refused the declaration and not the connection: other arguments,
/// no right to configure, or no such queue.
pub(super) fn refusal(error: &BrokerError) -> Option<String> {
    let BrokerError::Amqp(error) = error else {
        return None;
    };
    match error.kind() {
        ErrorKind::ProtocolError(reply) if matches!(reply.kind(), AMQPErrorKind::Soft(_)) => {
            Some(reply.get_message().to_string())
        }
        _ => None,
    }
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
