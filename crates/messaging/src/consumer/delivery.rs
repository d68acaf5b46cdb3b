//! One delivery: the message is handled, and then acknowledged, forwarded to a retry queue, or
//! parked.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acknowledger::Acknowledger;
use super::error::HandleError;
use super::handler::Handler;
use super::received::Received;
use super::setup::Consumer;
use crate::broker::{BrokerError, confirmed, publish};
use crate::envelope::{self, ATTEMPTS, PARKED_AT, PARKED_REASON};
use crate::message_span::Message;
use crate::topology::{RetrySchedule, Subscription};

/// A handler that takes longer is aborted, and the message is retried.
const HANDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Attempts at once while other transactions are in the way. They count as one.
const CONFLICTING_ATTEMPTS: usize = 5;
/// The reason becomes a header, which must be short.
const REASON_MAX_CHARS: usize = 500;
/// Label of messages whose type the queue does not accept: senders choose it.
const UNKNOWN: &str = "unknown";

/// How the handling of a message ends, as a label.
const OUTCOMES: [&str; 4] = ["handled", "failed", "refused", "deferred"];

/// Creates the metrics of a subscription before its first message. Prometheus sees no increase in
/// a counter that begins with 1.
pub(super) fn create_metrics(subscription: Subscription) {
    describe_counter!(
        "latchkey_messages_total",
        "Messages that were consumed, by queue, type of event and outcome: handled, failed (it is \
         tried again), refused (it is parked) or deferred (the database did not answer or was \
         full; not counted as an attempt)."
    );
    describe_histogram!(
        "latchkey_event_lag_seconds",
        "Time from the time of an event, which is that of its change, to the end of its handling."
    );
    for event in subscription.routing_keys.iter().copied() {
        drop(lag(event));
    }
    let accepted = subscription.routing_keys.iter().copied();
    for event in accepted.chain([UNKNOWN]) {
        for outcome in OUTCOMES {
            messages(subscription, event.to_owned(), outcome).increment(0);
        }
    }
}

fn messages(subscription: Subscription, event: String, outcome: &'static str) -> Counter {
    counter!(
        "latchkey_messages_total",
        "queue" => subscription.queue, "event" => event, "outcome" => outcome
    )
}

fn lag(event: &str) -> Histogram {
    histogram!("latchkey_event_lag_seconds", "event" => event.to_owned())
}

/// Handles the deliveries of one connection.
pub(super) struct DeliveryHandler {
    consumer: Consumer,
    /// For one message at a time: the library hands a returned message out with the next confirm on
    /// the channel, which may be that of another message.
    forwarding: Mutex<Channel>,
    acknowledger: Acknowledger,
    /// Cancelled if a message could be neither acknowledged nor forwarded: the broker delivers
    /// it again only after a new connection.
    pub(super) broken: CancellationToken,
    /// Cancelled if the handler is not available.
    pub(super) unavailable: CancellationToken,
    handled: AtomicBool,
}

/// The outcome of handling a message.
enum Outcome {
    Handled,
    /// The handler is not available: the message is not the cause.
    Unavailable(String),
    /// To be tried again later.
    Retry(String),
    /// No attempt can succeed.
    Park(String),
}

impl From<HandleError> for Outcome {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::Unavailable(reason) => Self::Unavailable(reason),
            HandleError::Retry(reason) | HandleError::Conflict(reason) => Self::Retry(reason),
            HandleError::Park(reason) => Self::Park(reason),
        }
    }
}

impl DeliveryHandler {
    /// Messages come over the channel `deliveries`, and each is handled in a task of `handling`. The
    /// channel `forwarding` is in confirm mode.
    pub(super) fn new(
        consumer: Consumer,
        deliveries: &Channel,
        forwarding: Channel,
        handling: &TaskTracker,
    ) -> Self {
        Self {
            consumer,
            forwarding: Mutex::new(forwarding),
            acknowledger: Acknowledger::start(deliveries.clone(), handling.clone()),
            broken: CancellationToken::new(),
            unavailable: CancellationToken::new(),
            handled: AtomicBool::new(false),
        }
    }

    /// Returns `true` if a message was handled.
    pub(super) fn has_handled(&self) -> bool {
        self.handled.load(Ordering::Relaxed)
    }

    pub(super) async fn run(self: Arc<Self>, delivery: Delivery) {
        let subscription = self.consumer.subscription;
        let read = Received::read(&delivery, subscription.routing_keys);
        let event = match &read {
            Ok(message) => message.event_type.clone(),
            Err(_) => UNKNOWN.to_owned(),
        };
        let known = read.as_ref().ok();
        let message = Message {
            exchange: delivery.exchange.as_str(),
            routing_key: delivery.routing_key.as_str(),
            event: known.map(|known| (known.id, known.event_type.as_str())),
            bytes: delivery.data.len(),
            traceparent: known.and_then(|known| known.traceparent.as_deref()),
        };
        let span = message.process_span(subscription.queue, delivery.delivery_tag);
        let settled = async {
            let written_at = read.as_ref().ok().and_then(|message| message.time);
            let outcome = match read {
                Ok(message) => self.outcome(message).await,
                Err(error) => error.into(),
            };
            let counted = match &outcome {
                Outcome::Handled => "handled",
                Outcome::Unavailable(_) => "deferred",
                Outcome::Retry(_) if self.next_attempt(&delivery).is_some() => "failed",
                Outcome::Retry(_) | Outcome::Park(_) => "refused",
            };
            if let (Outcome::Handled, Some(written_at)) = (&outcome, written_at) {
                // The clocks of the database and of this process may differ.
                let waited = self.consumer.clock.now() - written_at;
                lag(&event).record(waited.as_seconds_f64().max(0.0));
            }
            messages(subscription, event, counted).increment(1);
            if !matches!(outcome, Outcome::Handled) {
                span.record_failure(counted);
            }
            self.settle(&delivery, outcome).await
        };
        // The future is larger than what else the task has, and would be moved several times.
        let settled = span.around(Box::pin(settled)).await;
        drop(span);
        if settled {
            self.acknowledge(&delivery).await;
        }
    }

    /// Returns a message that was not begun to its queue.
    pub(super) async fn requeue(self: Arc<Self>, delivery: Delivery) {
        let outcome = Outcome::Unavailable("consuming ends".to_owned());
        if self.settle(&delivery, outcome).await {
            self.acknowledge(&delivery).await;
        }
    }

    async fn outcome(&self, message: Received) -> Outcome {
        let Err(error) = self.handle(message).await else {
            self.handled.store(true, Ordering::Relaxed);
            return Outcome::Handled;
        };
        let outcome = match error.into() {
            Outcome::Retry(reason) if self.consumer.available().await.is_err() => {
                Outcome::Unavailable(reason)
            }
            outcome => outcome,
        };
        if matches!(outcome, Outcome::Unavailable(_)) {
            self.unavailable.cancel();
        }
        outcome
    }

    async fn handle(&self, message: Received) -> Result<(), HandleError> {
        // A panic of the handler does not end the consumer.
        let handling =
            AssertUnwindSafe(until_no_conflict(self.consumer.handler.as_ref(), &message))
                .catch_unwind();
        match tokio::time::timeout(HANDLE_TIMEOUT, handling).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(HandleError::Retry("the handler panicked".to_owned())),
            Err(_) => Err(HandleError::Retry("the handler took too long".to_owned())),
        }
    }

    /// Forwards the message if it was not handled. Returns `false` if it could not be forwarded:
    /// [`Self::forward`] has then cancelled `broken`.
    async fn settle(&self, delivery: &Delivery, outcome: Outcome) -> bool {
        let settled = match outcome {
            Outcome::Handled => {
                tracing::debug!("handled");
                Ok(())
            }
            Outcome::Unavailable(reason) => self.defer(delivery, &reason).await,
            Outcome::Retry(reason) => self.retry(delivery, &reason).await,
            Outcome::Park(reason) => self.park(delivery, &reason).await,
        };
        settled
            .inspect_err(|error| tracing::warn!(%error, "message is delivered again"))
            .is_ok()
    }

    async fn acknowledge(&self, delivery: &Delivery) {
        if !self.acknowledger.acknowledge(delivery.delivery_tag).await {
            self.broken.cancel();
        }
    }

    /// Publishes the message again at the end of its own queue. If it were returned instead, the
    /// broker would count a delivery against its limit.
    async fn defer(&self, delivery: &Delivery, reason: &str) -> Result<(), BrokerError> {
        tracing::debug!(reason, "waits until messages can be handled again");
        let changes = [("x-delivery-count", None)];
        self.forward(delivery, self.consumer.subscription.queue, &changes)
            .await
    }

    /// The pause before the next attempt; none after the last one.
    fn next_attempt(&self, delivery: &Delivery) -> Option<Duration> {
        self.consumer.retry_schedule.after(attempts(delivery))
    }

    async fn retry(&self, delivery: &Delivery, reason: &str) -> Result<(), BrokerError> {
        let attempts = attempts(delivery);
        let Some(delay) = self.next_attempt(delivery) else {
            return self
                .park(delivery, &format!("{attempts} tries failed: {reason}"))
                .await;
        };
        tracing::warn!(attempts, ?delay, reason, "tried again later");
        let changes = [(ATTEMPTS, Some(AMQPValue::LongUInt(attempts)))];
        let queue = RetrySchedule::queue(self.consumer.subscription.queue, delay);
        self.forward(delivery, &queue, &changes).await
    }

    async fn park(&self, delivery: &Delivery, reason: &str) -> Result<(), BrokerError> {
        tracing::error!(reason, "parked");
        let reason: String = reason.chars().take(REASON_MAX_CHARS).collect();
        let now = self.consumer.clock.now().format(&Rfc3339);
        let changes = [
            (PARKED_REASON, Some(envelope::text(reason))),
            (PARKED_AT, Some(envelope::text(now.unwrap_or_default()))),
        ];
        let queue = self.consumer.subscription.parked();
        self.forward(delivery, &queue, &changes).await
    }

    /// Publishes a copy to `queue` and waits for the confirm: only then may the original be
    /// acknowledged.
    async fn forward(
        &self,
        delivery: &Delivery,
        queue: &str,
        changes: &[(&'static str, Option<AMQPValue>)],
    ) -> Result<(), BrokerError> {
        let properties = envelope::with_headers(&delivery.properties, changes);
        let forwarding = self.forwarding.lock().await;
        // The confirm of an earlier message may still be open on this channel.
        if self.broken.is_cancelled() {
            return Err(BrokerError::Cancelled);
        }
        let sent = async {
            let confirm = publish(&forwarding, "", queue, &delivery.data, properties).await?;
            confirmed(confirm).await
        }
        .await;
        if sent.is_err() {
            self.broken.cancel();
        }
        sent
    }
}

/// Handles a message again at once while other transactions are in the way.
async fn until_no_conflict(handler: &dyn Handler, message: &Received) -> Result<(), HandleError> {
    let mut attempts = 1;
    loop {
        match handler.handle(message).await {
            Err(HandleError::Conflict(reason)) if attempts < CONFLICTING_ATTEMPTS => {
                tracing::debug!(attempts, reason, "tried again at once");
                attempts += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Number of attempts with this one.
fn attempts(delivery: &Delivery) -> u32 {
    envelope::attempts(&delivery.properties).saturating_add(1)
}
