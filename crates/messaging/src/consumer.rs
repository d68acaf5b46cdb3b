//! Consumes a queue: at least once, acknowledged after the handler's commit.
//!
//! A handler that asks for another try sends the message up a ladder of delay
//! queues; what cannot be handled at all is parked with its reason. While the
//! handler cannot work at all ([`Handler::available`]), nothing is consumed and no
//! try is counted. A message whose handler's process dies is delivered again, alone:
//! if it is what kills the process, it takes no other along.

mod delivery;
mod ladder;
mod received;
mod session;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use latchkey_domain::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerConfig, RetryDelay};
use crate::topology::{Complaints, Subscription};

pub use ladder::Ladder;
pub use received::Received;

use session::{Ended, Session};

/// Messages handled at once.
const PREFETCH: u16 = 16;
/// A handler that takes longer is given up; the message is tried again.
const HANDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Whoever does not say within this time that it can work cannot.
const AVAILABLE_TIMEOUT: Duration = Duration::from_secs(5);
/// What is being handled at shut-down gets this long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a message was not handled. The text becomes a header and a log line: no
/// secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Another try may succeed: database down, a lock lost.
    #[error("to be tried again: {0}")]
    Retry(String),
    /// No try can succeed: malformed, unknown version.
    #[error("cannot be handled: {0}")]
    Park(String),
}

impl From<sqlx::Error> for HandleError {
    /// Data that the database can never take (SQLSTATE class 22, or a check that
    /// fails) is parked; everything else may succeed later.
    fn from(error: sqlx::Error) -> Self {
        const CHECK_VIOLATION: &str = "23514";
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        let never = code.is_some_and(|code| code.starts_with("22") || code == CHECK_VIOLATION);
        if never {
            Self::Park(error.to_string())
        } else {
            Self::Retry(error.to_string())
        }
    }
}

/// Handles messages. Must bear the same message any number of times, also at once.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one message; it is acknowledged after this returns.
    async fn handle(&self, message: &Received) -> Result<(), HandleError>;

    /// Whether messages can be handled at all: the database is there. Asked before
    /// anything is consumed, and after a message failed: while the answer is an
    /// error, the failure is not the message's own.
    async fn available(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Consumes one subscription.
#[derive(Clone)]
pub struct Consumer {
    broker: BrokerConfig,
    subscription: Subscription,
    handler: Arc<dyn Handler>,
    ladder: Ladder,
    prefetch: u16,
    clock: Arc<dyn Clock>,
    complaints: Complaints,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("broker", &self.broker)
            .field("subscription", &self.subscription)
            .field("ladder", &self.ladder)
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
            ladder: Ladder::default(),
            prefetch: PREFETCH,
            clock: Arc::new(SystemClock),
            complaints: Complaints::default(),
        }
    }

    /// What the broker refuses to declare.
    pub fn complaints(&self) -> Complaints {
        self.complaints.clone()
    }

    /// Tries again at other times.
    #[must_use]
    pub fn with_ladder(mut self, ladder: Ladder) -> Self {
        self.ladder = ladder;
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
                Ok(Ended::Asked) => return,
                Ok(Ended::Unavailable { handled }) => {
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

    async fn available(&self) -> Result<(), String> {
        tokio::time::timeout(AVAILABLE_TIMEOUT, self.handler.available())
            .await
            .unwrap_or_else(|_| Err("no answer".to_owned()))
    }
}
