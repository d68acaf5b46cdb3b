//! One connection of a consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Consumer, DRAIN_TIMEOUT, delivery};
use crate::broker::{BrokerError, RetryDelay, answered};
use crate::parked::{self, Selection, Shelf, Which};
use crate::topology;

/// A message that was delivered so often without an end may be what kills the
/// process: it is handled alone.
const SUSPECT_AFTER: i64 = 3;
/// A queue from which nothing comes for so long holds nothing that was delivered
/// before.
const QUIET: Duration = Duration::from_secs(1);

/// Why a session ended well.
pub(super) enum Ended {
    /// The process is asked to stop.
    Asked,
    /// The handler cannot work at present; `handled` if something was before.
    Unavailable { handled: bool },
}

/// Why a subscription ended well.
enum Left {
    Asked,
    Unavailable,
    /// What was delivered before has passed: from now on, many at once.
    Warm,
    /// This one may kill the process.
    Suspect(Box<Delivery>),
}

/// Deliveries on one channel, what is passed on over the other.
pub(super) struct Session<'a> {
    consumer: &'a Consumer,
    connection: Connection,
    deliveries: Channel,
    passing_on: Channel,
    handling: TaskTracker,
    /// Cancelled where a message could be neither acknowledged nor passed on: only
    /// a new connection makes the broker deliver it again.
    broken: CancellationToken,
    /// Cancelled where the handler cannot work.
    unavailable: CancellationToken,
    handled: Arc<AtomicBool>,
}

impl<'a> Session<'a> {
    /// Connects and consumes until `stop`, or until the handler cannot work.
    pub(super) async fn run(
        consumer: &'a Consumer,
        backoff: &mut RetryDelay,
        stop: &CancellationToken,
    ) -> Result<Ended, BrokerError> {
        let session = tokio::select! {
            () = stop.cancelled() => return Ok(Ended::Asked),
            opened = Self::open(consumer) => opened?,
        };
        let ended = session.consume(backoff, stop).await;
        session.drain().await;
        ended
    }

    async fn open(consumer: &'a Consumer) -> Result<Self, BrokerError> {
        let connection = consumer.broker.connect().await?;
        let subscription = &consumer.subscription;
        let refused =
            topology::declare_subscription(&connection, subscription, &consumer.ladder).await?;
        consumer.complaints.replace(&refused);
        fetch_unrouted(&connection, consumer).await;
        let deliveries = answered("open a channel", connection.create_channel()).await?;
        let passing_on = answered("open a channel", connection.create_channel()).await?;
        let confirming = passing_on.confirm_select(ConfirmSelectOptions::default());
        answered("confirm mode", confirming).await?;
        Ok(Self {
            consumer,
            connection,
            deliveries,
            passing_on,
            handling: TaskTracker::new(),
            broken: CancellationToken::new(),
            unavailable: CancellationToken::new(),
            handled: Arc::default(),
        })
    }

    async fn consume(
        &self,
        backoff: &mut RetryDelay,
        stop: &CancellationToken,
    ) -> Result<Ended, BrokerError> {
        // One at a time at first: what was delivered before a crash comes first,
        // and a message that kills the process must not count against others.
        let mut prefetch = 1;
        loop {
            match self.subscribed(prefetch, backoff, stop).await? {
                Left::Asked => return Ok(Ended::Asked),
                Left::Unavailable => {
                    let handled = self.handled.load(Ordering::Relaxed);
                    return Ok(Ended::Unavailable { handled });
                }
                Left::Warm => prefetch = self.consumer.prefetch,
                Left::Suspect(delivery) => {
                    self.idle().await;
                    self.task().run(*delivery).await;
                    prefetch = 1;
                }
            }
        }
    }

    /// Consumes with this many messages at once.
    async fn subscribed(
        &self,
        prefetch: u16,
        backoff: &mut RetryDelay,
        stop: &CancellationToken,
    ) -> Result<Left, BrokerError> {
        let qos = self
            .deliveries
            .basic_qos(prefetch, BasicQosOptions::default());
        answered("limit what is delivered", qos).await?;
        let queue = self.consumer.subscription.queue.as_str();
        let subscribed = self.deliveries.basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let mut deliveries = answered("subscribe", subscribed).await?;
        backoff.reset();
        tracing::info!(queue, prefetch, "consuming");
        let cautious = prefetch < self.consumer.prefetch;
        let left = loop {
            tokio::select! {
                biased;
                () = self.broken.cancelled() => return Err(BrokerError::Cancelled),
                () = stop.cancelled() => break Left::Asked,
                () = self.unavailable.cancelled() => break Left::Unavailable,
                next = deliveries.next() => match next {
                    Some(Ok(delivery)) if !cautious && is_suspect(&delivery) => {
                        break Left::Suspect(Box::new(delivery));
                    }
                    Some(Ok(delivery)) => {
                        let fresh = !delivery.redelivered;
                        self.handling.spawn(self.task().run(delivery));
                        if cautious && fresh {
                            break Left::Warm;
                        }
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => return Err(BrokerError::Cancelled),
                },
                () = tokio::time::sleep(QUIET), if cautious && self.handling.is_empty() => {
                    break Left::Warm;
                }
            }
        };
        let unsubscribed = self
            .deliveries
            .basic_cancel(deliveries.tag(), BasicCancelOptions::default());
        if let Err(error) = answered("unsubscribe", unsubscribed).await {
            tracing::debug!(%error, "subscription had ended already");
        }
        // Delivered and not begun: back to the queue, and not counted.
        while let Some(Some(Ok(delivery))) = deliveries.next().now_or_never() {
            self.handling.spawn(self.task().give_back(delivery));
        }
        Ok(left)
    }

    fn task(&self) -> delivery::Task {
        delivery::Task {
            consumer: self.consumer.clone(),
            passing_on: self.passing_on.clone(),
            broken: self.broken.clone(),
            unavailable: self.unavailable.clone(),
            handled: self.handled.clone(),
        }
    }

    /// Waits until nothing is being handled.
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
        let closed = answered("close", self.connection.close(200, "done".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection was closed already");
        }
    }
}

/// Events that were published while the queue or its binding was missing are
/// published again. Who may not read the shelf does without.
async fn fetch_unrouted(connection: &Connection, consumer: &Consumer) {
    let keys = consumer.subscription.routing_keys.iter();
    let own = Which::Keys(keys.map(|key| (*key).to_owned()).collect());
    match parked::redrive_on(connection, &Shelf::Unrouted, &Selection::from(own)).await {
        Ok(0) => {}
        Ok(again) => {
            let queue = consumer.subscription.queue.as_str();
            tracing::warn!(queue, again, "events waited for this queue");
        }
        Err(error) => tracing::debug!(%error, "no look at unrouted events"),
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
