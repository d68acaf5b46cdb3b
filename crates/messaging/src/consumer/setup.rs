//! The parts of a consumer.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, SystemClock};

use super::handler::Handler;
use crate::broker::BrokerConfig;
use crate::topology::{RefusedDeclarations, RetrySchedule, Subscription};

/// Messages that are handled concurrently.
const PREFETCH: u16 = 16;
/// A handler that does not say within this time that it is available counts as not available.
const AVAILABLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Consumes one subscription.
#[derive(Clone)]
pub struct Consumer {
    pub(super) broker: BrokerConfig,
    pub(super) subscription: Subscription,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) retry_schedule: RetrySchedule,
    pub(super) prefetch: u16,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) refused_declarations: RefusedDeclarations,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("broker", &self.broker)
            .field("subscription", &self.subscription)
            .field("retry_schedule", &self.retry_schedule)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// A consumer of `subscription` with the default retry schedule and 16 concurrent messages.
    pub fn new(
        broker: BrokerConfig,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
    ) -> Self {
        Self {
            broker,
            subscription,
            handler,
            retry_schedule: RetrySchedule::default(),
            prefetch: PREFETCH,
            clock: Arc::new(SystemClock),
            refused_declarations: RefusedDeclarations::default(),
        }
    }

    /// The declarations that the broker refused.
    pub fn refused_declarations(&self) -> RefusedDeclarations {
        self.refused_declarations.clone()
    }

    /// Replaces the retry schedule.
    #[must_use]
    pub fn with_retry_schedule(mut self, retry_schedule: RetrySchedule) -> Self {
        self.retry_schedule = retry_schedule;
        self
    }

    /// Sets the number of concurrent messages, at least one.
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = prefetch.max(1);
        self
    }

    /// Replaces the clock, which tells when a message is parked.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Fails while the handler cannot handle any message.
    pub(super) async fn available(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Consumes one subscription.
#[derive(Clone)]
pub struct Consumer {
    broker: BrokerConfig,
    subscription: Subscription,
    handler: Arc<dyn Handler>,
    retry_schedule: RetrySchedule,
    prefetch: u16,
    clock: Arc<dyn Clock>,
    refused_declarations: RefusedDeclarations,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("broker", &self.broker)
            .field("subscription", &self.subscription)
            .field("retry_schedule", &self.retry_schedule)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// A consumer of `subscription` with the usual ladder and 16 messages at once.
    pub fn new(
        broker: BrokerConfig,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
    ) -> Self {
        Self {
            broker,
            subscription,
            handler,
            retry_schedule: RetrySchedule::default(),
            prefetch: PREFETCH,
            clock: Arc::new(SystemClock),
            refused_declarations: RefusedDeclarations::default(),
        }
    }

    /// The declarations that the broker refused.
    pub fn refused_declarations(&self) -> RefusedDeclarations {
        self.refused_declarations.clone()
    }

    /// Tries again at other times.
    #[must_use]
    pub fn with_retry_schedule(mut self, retry_schedule: RetrySchedule) -> Self {
        self.retry_schedule = retry_schedule;
        self
    }

    /// Handles this many messages at once, at least one.
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = prefetch.max(1);
        self
    }

    /// Tells the time of parking by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Runs until `stop`, whatever the broker does. Finishes the messages that
    /// are being handled; the broker gives the others to someone else.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = RetryDelay::new();
        let mut outage = RetryDelay::new();
        while !stop.is_cancelled() {
            if let Err(reason) = self.available().await {
                tracing::warn!(queue = self.subscription.queue, reason, "consuming pauses");
                if !outage.wait(&stop).await {
                    return;
                }
                continue;
            }
            match Session::run(&self, &mut backoff, &stop).await {
                Ok(SessionEnd::Stopped) => return,
                Ok(SessionEnd::Unavailable { handled }) => {
                    if handled {
                        outage.reset();
                    }
                    if !outage.wait(&stop).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = self.subscription.queue, %error, "consumer starts again");
                    if !backoff.wait(&stop).await {
                        return;
                    }
                }
            }
        }
    }

    /// Fails while the handler cannot handle any message.
    pub(super) async fn available(&self) -> Result<(), String> {
        tokio::time::timeout(AVAILABLE_TIMEOUT, self.handler.available())
            .await
            .unwrap_or_else(|_| Err("no answer".to_owned()))
    }
}
