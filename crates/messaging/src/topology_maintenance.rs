//! Keeps the queues of sync-svc declared.

mod queue_depth;

use std::time::Duration;

use lapin::Connection;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerConfig, BrokerError, RetryDelay};
use crate::parked::{self, Filter, OperatorQueue, Selection};
use crate::topology::{
    OPTIONAL_EVENTS, RefusedDeclaration, RefusedDeclarations, RetiredQueues, RetrySchedule,
    SYNC_SVC_QUEUE, Subscription, declare, declare_subscription,
};
use queue_depth::QueueDepths;

/// Declares the queues of sync-svc periodically, so that a queue or a binding that was lost is
/// restored, and publishes again the events that were unrouted meanwhile. Measures how many
/// events are unrouted, and how many messages wait in each queue. Retires the queues of the
/// previous version.
#[derive(Debug)]
pub struct TopologyMaintenance {
    broker: BrokerConfig,
    interval: Duration,
    retired: RetiredQueues,
    retry_schedule: RetrySchedule,
    depths: QueueDepths,
    refused_declarations: RefusedDeclarations,
    declared: CancellationToken,
}

impl TopologyMaintenance {
    /// `retry_schedule` names the retry queues, also those of the retired queues; `interval` is the
    /// time between two rounds.
    pub fn new(broker: BrokerConfig, retry_schedule: RetrySchedule, interval: Duration) -> Self {
        Self {
            broker,
            interval,
            depths: QueueDepths::new(&retry_schedule),
            retired: RetiredQueues::new(retry_schedule.clone()),
            retry_schedule,
            refused_declarations: RefusedDeclarations::default(),
            declared: CancellationToken::new(),
        }
    }

    /// Replaces the time for which a retired queue must have neither messages nor consumers
    /// before it is deleted, 5 minutes by default.
    #[must_use]
    pub fn with_quiet_period(mut self, quiet_period: Duration) -> Self {
        self.retired.quiet_period = quiet_period;
        self
    }

    /// The declarations that the broker refused.
    pub fn refused_declarations(&self) -> RefusedDeclarations {
        self.refused_declarations.clone()
    }

    /// Cancelled after everything was declared for the first time.
    pub fn declared(&self) -> CancellationToken {
        self.declared.clone()
    }

    /// Runs until `stop`, through any failure of the broker.
    pub async fn run(mut self, stop: CancellationToken) {
        self.create_metrics();
        let mut retry_delay = RetryDelay::new();
        while !stop.is_cancelled() {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.session(&mut retry_delay) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "the maintenance of the queues starts again");
            }
            if !retry_delay.wait(&stop).await {
                return;
            }
        }
    }

    fn create_metrics(&self) {
        describe_gauge!(
            "latchkey_unrouted_messages",
            "Events that no queue was bound for and that wait in latchkey.unrouted. 0 in a healthy \
             system."
        );
        describe_counter!(
            "latchkey_unrouted_again_total",
            "Unrouted events that were published again, because their queue is back."
        );
        describe_counter!(
            "latchkey_queue_checks_total",
            "Rounds in which the queues were declared and their messages counted."
        );
        gauge!("latchkey_unrouted_messages").set(0);
        counter!("latchkey_unrouted_again_total").increment(0);
        counter!("latchkey_queue_checks_total").increment(0);
        self.depths.create_gauges();
    }

    async fn session(&mut self, retry_delay: &mut RetryDelay) -> Result<(), BrokerError> {
        let connection = self.broker.connect().await?;
        let mut left = 0;
        loop {
            left = self.round(&connection, left).await?;
            retry_delay.reset();
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Returns how many messages are left unrouted. They are read only if their number differs
    /// from `before`.
    async fn round(&mut self, connection: &Connection, before: u32) -> Result<u32, BrokerError> {
        // The consumer declares the retry queues too, and reports what the broker refuses. A queue
        // that does not exist cannot be counted.
        declare_subscription(connection, &Subscription::SYNC_SVC, &self.retry_schedule).await?;
        let refused = declare(connection).await?;
        self.refused_declarations.replace(&refused);
        self.declared.cancel();
        let queue = OperatorQueue::Unrouted;
        let mut left = parked::message_count(connection, &queue).await?;
        let mut again = 0;
        if left != before {
            again = parked::redrive_on(connection, &queue, &routable()).await?;
            if again > 0 {
                tracing::error!(
                    again,
                    "events had no queue: a binding or a queue was lost, and is back"
                );
                counter!("latchkey_unrouted_again_total").increment(again as u64);
                left = parked::message_count(connection, &queue).await?;
            }
        }
        gauge!("latchkey_unrouted_messages").set(f64::from(left));
        let bound = |refused: &RefusedDeclaration| !refused.is_binding_of(SYNC_SVC_QUEUE);
        if refused.iter().all(bound) {
            self.retired.round(connection).await?;
        }
        self.depths.measure(connection).await?;
        counter!("latchkey_queue_checks_total").increment(1);
        // If the limit was reached, there may be more.
        Ok(if again < REDRIVE_LIMIT { left } else { 0 })
    }
}

/// The unrouted messages that have a queue now.
fn routable() -> Selection {
    let own = Subscription::SYNC_SVC.routing_keys.iter();
    let keys = own
        .chain(&OPTIONAL_EVENTS)
        .map(|key| (*key).to_owned())
        .collect();
    Selection {
        limit: Some(REDRIVE_LIMIT),
        ..Selection::from(Filter::Keys(keys))
    }
}

/// Messages that are published again in one round.
const REDRIVE_LIMIT: usize = 10_000;
