//! The parts of a consumer.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, SystemClock};

use super::handler::Handler;
use crate::broker::BrokerConfig;
use crate::topology::{RefusedDeclarations, RetrySchedule, Subscription};

/// Messages that are handled concurrently, or wait until they are acknowledged.
const PREFETCH: u16 = 24;
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
    /// A consumer of `subscription` with the default retry schedule and 24 concurrent messages.
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

    /// Replaces the clock, which tells when a message is parked.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Fails while the handler cannot handle any message.
    pub(super) async fn available(&self) -> Result<(), String> {
        tokio::time::timeout(AVAILABLE_TIMEOUT, self.handler.available())
            .await
            .unwrap_or_else(|_| Err("no answer".to_owned()))
    }
}
