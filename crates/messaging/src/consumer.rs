//! Consumes a queue: at least once, acknowledged after the handler's commit.
//!
//! A handler that asks for another try sends the message up a ladder of delay
//! queues; what cannot be handled at all is parked with its reason. A message
//! whose handler's process dies is delivered again.

mod delivery;
mod ladder;
mod received;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use latchkey_domain::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Backoff, BrokerConfig, BrokerError, answered};
use crate::topology::{self, Subscription};

pub use ladder::Ladder;
pub use received::Received;

/// Messages handled at once.
const PREFETCH: u16 = 16;
/// A handler that takes longer is given up; the message is tried again.
const HANDLE_TIMEOUT: Duration = Duration::from_mins(1);
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

/// One connection: deliveries on one channel, what is passed on over the other.
struct Session {
    connection: Connection,
    deliveries: Channel,
    passing_on: Channel,
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
        }
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
        let mut backoff = Backoff::new();
        while !stop.is_cancelled() {
            match self.session(&mut backoff, &stop).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(queue = self.subscription.queue, %error, "consumer starts again");
                    if !backoff.wait(&stop).await {
                        return;
                    }
                }
            }
        }
    }

    async fn open(&self) -> Result<Session, BrokerError> {
        let connection = self.broker.connect().await?;
        answered("open a channel", self.open_channels(connection)).await
    }

    async fn open_channels(&self, connection: Connection) -> Result<Session, lapin::Error> {
        let deliveries = connection.create_channel().await?;
        let passing_on = connection.create_channel().await?;
        topology::declare(&passing_on, std::slice::from_ref(&self.subscription)).await?;
        topology::declare_retries(&passing_on, &self.subscription.queue, &self.ladder).await?;
        passing_on
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        deliveries
            .basic_qos(self.prefetch, BasicQosOptions::default())
            .await?;
        Ok(Session {
            connection,
            deliveries,
            passing_on,
        })
    }

    /// One connection's life. Ends well only where `stop` came.
    async fn session(
        &self,
        backoff: &mut Backoff,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let session = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = self.open() => opened?,
        };
        let subscribed = session.deliveries.basic_consume(
            self.subscription.queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let mut deliveries = answered("subscribe", subscribed).await?;
        backoff.reset();
        tracing::info!(queue = self.subscription.queue, "consuming");

        // Cancelled where a message could be neither acknowledged nor passed on:
        // only a new connection makes the broker deliver it again.
        let broken = CancellationToken::new();
        let handling = TaskTracker::new();
        let ended = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = broken.cancelled() => break Err(BrokerError::Cancelled),
                next = deliveries.next() => match next {
                    Some(Ok(delivery)) => {
                        let task = delivery::Task {
                            consumer: self.clone(),
                            passing_on: session.passing_on.clone(),
                            broken: broken.clone(),
                        };
                        handling.spawn(task.run(delivery));
                    }
                    Some(Err(error)) => break Err(error.into()),
                    None => break Err(BrokerError::Cancelled),
                },
            }
        };
        if ended.is_ok() {
            let tag = deliveries.tag();
            let cancelled = session
                .deliveries
                .basic_cancel(tag, BasicCancelOptions::default());
            if let Err(error) = answered("unsubscribe", cancelled).await {
                tracing::debug!(%error, "subscription had ended already");
            }
        }
        handling.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, handling.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                queue = self.subscription.queue,
                left = handling.len(),
                "messages are still being handled: the broker delivers them again"
            );
        }
        let closed = answered("close", session.connection.close(200, "done".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection was closed already");
        }
        ended
    }
}
