use std::time::Duration;

use lapin::Connection;
use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;

use super::{Complaints, OPTIONAL_EVENTS, Subscription, declare};
use crate::broker::{BrokerConfig, BrokerError, RetryDelay};
use crate::parked::{self, Selection, Shelf, Which};

/// Looks after the queues of sync-svc: declares them, again and again, so that a
/// queue or a binding that was lost comes back, and publishes again what nobody
/// was bound for meanwhile. Shows how many messages are unrouted.
#[derive(Debug)]
pub struct Keeper {
    broker: BrokerConfig,
    subscriptions: Vec<Subscription>,
    every: Duration,
    complaints: Complaints,
    declared: CancellationToken,
}

impl Keeper {
    /// A keeper of the queues of `subscriptions` that looks `every` so often.
    pub fn new(broker: BrokerConfig, subscriptions: Vec<Subscription>, every: Duration) -> Self {
        Self {
            broker,
            subscriptions,
            every,
            complaints: Complaints::default(),
            declared: CancellationToken::new(),
        }
    }

    /// What the broker refuses to declare.
    pub fn complaints(&self) -> Complaints {
        self.complaints.clone()
    }

    /// Cancelled once everything was declared for the first time.
    pub fn declared(&self) -> CancellationToken {
        self.declared.clone()
    }

    /// Runs until `stop`, whatever the broker does.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = RetryDelay::new();
        while !stop.is_cancelled() {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.session(&mut backoff) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "the queues are not looked after: starts again");
            }
            if !backoff.wait(&stop).await {
                return;
            }
        }
    }

    async fn session(&self, backoff: &mut RetryDelay) -> Result<(), BrokerError> {
        let connection = self.broker.connect().await?;
        let mut left = 0;
        loop {
            left = self.look(&connection, left).await?;
            backoff.reset();
            tokio::time::sleep(self.every).await;
        }
    }

    /// Answers how many messages are left unrouted. They are looked through where
    /// they are others than those that were left before.
    async fn look(&self, connection: &Connection, before: u32) -> Result<u32, BrokerError> {
        let refused = declare(connection, &self.subscriptions).await?;
        self.complaints.replace(&refused);
        self.declared.cancel();
        let shelf = Shelf::Unrouted;
        let mut left = parked::held_on(connection, &shelf).await?;
        let mut again = 0;
        if left != before {
            again = parked::redrive_on(connection, &shelf, &self.own()).await?;
            if again > 0 {
                tracing::error!(
                    again,
                    "events had no queue: a binding or a queue was lost, and is back"
                );
                counter!("latchkey_unrouted_again_total").increment(again as u64);
                left = parked::held_on(connection, &shelf).await?;
            }
        }
        gauge!("latchkey_unrouted_messages").set(f64::from(left));
        // More of its own may be left behind those.
        Ok(if again < AT_ONCE { left } else { 0 })
    }

    /// Of the messages on the shelf, those that have a queue now.
    fn own(&self) -> Selection {
        let own = self
            .subscriptions
            .iter()
            .flat_map(|subscription| &subscription.routing_keys);
        let keys = own
            .chain(&OPTIONAL_EVENTS)
            .map(|key| (*key).to_owned())
            .collect();
        Selection {
            limit: Some(AT_ONCE),
            ..Selection::from(Which::Keys(keys))
        }
    }
}

/// Messages that are published again at one look.
const AT_ONCE: usize = 10_000;
