//! One connection of a consumer.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::delivery::DeliveryHandler;
use super::setup::Consumer;
use crate::broker::{BrokerError, RetryDelay, open_confirm_channel, reply};
use crate::topology;

/// Messages that are being handled when the consumer stops have this long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// A message that was delivered this often without an acknowledgement may be what kills the
/// process: it is handled alone.
const SUSPECT_AFTER: i64 = 3;
/// If no message is delivered for this long, every message that was delivered before a crash
/// has been handled.
const QUIET_PERIOD: Duration = Duration::from_secs(1);

/// Why a session ended without an error.
pub(super) enum SessionEnd {
    /// The process stops.
    Stopped,
    /// The handler is not available; `handled` says whether it handled a message before.
    Unavailable { handled: bool },
}

/// Why a subscription ended without an error.
enum SubscriptionEnd {
    Stopped,
    Unavailable,
    /// Messages that were delivered before a crash have been handled: from now on several
    /// messages at once.
    RedeliveriesDone,
    /// This message may be what kills the process.
    Suspect(Box<Delivery>),
}

/// Messages are delivered over one channel and forwarded to other queues over the second.
pub(super) struct Session<'a> {
    consumer: &'a Consumer,
    connection: Connection,
    deliveries: Channel,
    handler: Arc<DeliveryHandler>,
    handling: TaskTracker,
}

impl<'a> Session<'a> {
    /// Connects and consumes until `stop`, or until the handler is not available.
    pub(super) async fn run(
        consumer: &'a Consumer,
        retry_delay: &mut RetryDelay,
        stop: &CancellationToken,
    ) -> Result<SessionEnd, BrokerError> {
        let session = tokio::select! {
            () = stop.cancelled() => return Ok(SessionEnd::Stopped),
            opened = Self::open(consumer) => opened?,
        };
        let ended = session.consume(retry_delay, stop).await;
        session.drain().await;
        ended
    }

    async fn open(consumer: &'a Consumer) -> Result<Self, BrokerError> {
        let connection = consumer.broker.connect().await?;
        let subscription = &consumer.subscription;
        let refused =
            topology::declare_subscription(&connection, subscription, &consumer.retry_schedule)
                .await?;
        consumer.refused_declarations.replace(&refused);
        let deliveries = reply("open a channel", connection.create_channel()).await?;
        let forwarding = open_confirm_channel(&connection).await?;
        let handling = TaskTracker::new();
        let handler = DeliveryHandler::new(consumer.clone(), &deliveries, forwarding, &handling);
        Ok(Self {
            consumer,
            connection,
            deliveries,
            handler: Arc::new(handler),
            handling,
        })
    }

    async fn consume(
        &self,
        retry_delay: &mut RetryDelay,
        stop: &CancellationToken,
    ) -> Result<SessionEnd, BrokerError> {
        // At first one message at a time: messages that were delivered before a crash come
        // first, and a message that kills the process must not count against others.
        let mut prefetch = 1;
        loop {
            match self.consume_with(prefetch, retry_delay, stop).await? {
                SubscriptionEnd::Stopped => return Ok(SessionEnd::Stopped),
                SubscriptionEnd::Unavailable => {
                    let handled = self.handler.has_handled();
                    return Ok(SessionEnd::Unavailable { handled });
                }
                SubscriptionEnd::RedeliveriesDone => prefetch = self.consumer.prefetch,
                SubscriptionEnd::Suspect(delivery) => {
                    self.idle().await;
                    self.handler().run(*delivery).await;
                    prefetch = 1;
                }
            }
        }
    }

    /// Consumes up to `prefetch` messages concurrently.
    async fn consume_with(
        &self,
        prefetch: u16,
        retry_delay: &mut RetryDelay,
        stop: &CancellationToken,
    ) -> Result<SubscriptionEnd, BrokerError> {
        let qos = self
            .deliveries
            .basic_qos(prefetch, BasicQosOptions::default());
        reply("limit what is delivered", qos).await?;
        let queue = self.consumer.subscription.queue;
        let subscribed = self.deliveries.basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let mut deliveries = reply("subscribe", subscribed).await?;
        retry_delay.reset();
        tracing::info!(queue, prefetch, "consuming");
        let one_at_a_time = prefetch < self.consumer.prefetch;
        let left = loop {
            tokio::select! {
                biased;
                () = self.handler.broken.cancelled() => return Err(BrokerError::Cancelled),
                () = stop.cancelled() => break SubscriptionEnd::Stopped,
                () = self.handler.unavailable.cancelled() => break SubscriptionEnd::Unavailable,
                next = deliveries.next() => match next {
                    Some(Ok(delivery)) if !one_at_a_time && is_suspect(&delivery) => {
                        break SubscriptionEnd::Suspect(Box::new(delivery));
                    }
                    Some(Ok(delivery)) => {
                        let fresh = !delivery.redelivered;
                        self.handling.spawn(self.handler().run(delivery));
                        if one_at_a_time && fresh {
                            break SubscriptionEnd::RedeliveriesDone;
                        }
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => return Err(BrokerError::Cancelled),
                },
                () = tokio::time::sleep(QUIET_PERIOD), if one_at_a_time && self.handling.is_empty() => {
                    break SubscriptionEnd::RedeliveriesDone;
                }
            }
        };
        let unsubscribed = self
            .deliveries
            .basic_cancel(deliveries.tag(), BasicCancelOptions::default());
        if let Err(error) = reply("unsubscribe", unsubscribed).await {
            tracing::debug!(%error, "subscription had ended already");
        }
        // Messages that were delivered and not begun return to the queue, without a counted
        // attempt.
        while let Some(Some(Ok(delivery))) = deliveries.next().now_or_never() {
            self.handling.spawn(self.handler().requeue(delivery));
        }
        Ok(left)
    }

    fn handler(&self) -> Arc<DeliveryHandler> {
        Arc::clone(&self.handler)
    }

    /// Waits until no message is being handled.
    async fn idle(&self) {
        self.handling.close();
        self.handling.wait().await;
        self.handling.reopen();
    }

    async fn drain(self) {
        self.handling.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.handling.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                queue = self.consumer.subscription.queue,
                left = self.handling.len(),
                "messages are still being handled: the broker delivers them again"
            );
        }
        let closed = reply("close", self.connection.close(200, "done".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection was closed already");
        }
    }
}

fn is_suspect(delivery: &Delivery) -> bool {
    let headers = delivery.properties.headers().as_ref();
    let count = headers.and_then(|headers| headers.inner().get("x-delivery-count"));
    let count = match count {
        Some(AMQPValue::LongLongInt(count)) => *count,
        Some(AMQPValue::LongInt(count)) => i64::from(*count),
        Some(AMQPValue::LongUInt(count)) => i64::from(*count),
        Some(AMQPValue::ShortShortInt(count)) => i64::from(*count),
        _ => 0,
    };
    delivery.redelivered && count >= SUSPECT_AFTER
}
