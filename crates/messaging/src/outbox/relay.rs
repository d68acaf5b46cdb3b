//! Publishes the rows of the outbox.
//!
//! A destination whose messages the broker does not confirm is held back and retried
//! separately, with a growing wait, and so is a row that ends the connection whenever it is
//! published: neither delays the other rows.

mod held_back;
mod lag;
mod notifications;
mod publisher;

use std::time::Duration;

use lapin::Connection;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::schema::Schema;
use crate::broker::{BrokerConfig, BrokerError, RetryDelay, open_confirm_channel, reply};
use crate::topology::{RefusedDeclarations, declare_exchanges};

use publisher::{Batch, Publisher, RelayError, Scope};

/// Messages in flight at once.
const BATCH_SIZE: i64 = 128;
/// Messages in flight at once of a destination that is held back.
const RETRY_BATCH_SIZE: i64 = 16;
/// How often the relay checks whether a destination that is held back is due.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// A batch that takes longer is given up and its rows are unlocked: a database or a broker
/// that hangs must not hang the relay.
const BATCH_TIMEOUT: Duration = Duration::from_secs(45);
/// The relay reads the outbox this often if no notification comes.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Publishes the rows of one outbox. Any number of relays may run at once: each skips the
/// rows that another has claimed.
#[derive(Debug)]
pub struct Relay {
    pool: PgPool,
    schema: Schema,
    broker: BrokerConfig,
    publisher: Publisher,
    refused_declarations: RefusedDeclarations,
    poll_interval: Duration,
    publishes_after: Option<CancellationToken>,
}

impl Relay {
    /// A relay of `schema`'s outbox; `source` is the CloudEvents source, e.g.
    /// `/latchkey/auth-svc`.
    pub fn new(
        pool: PgPool,
        schema: Schema,
        broker: BrokerConfig,
        source: impl Into<String>,
    ) -> Self {
        Self {
            publisher: Publisher::new(&pool, schema, source.into()),
            pool,
            schema,
            broker,
            refused_declarations: RefusedDeclarations::default(),
            poll_interval: POLL_INTERVAL,
            publishes_after: None,
        }
    }

    /// Publishes nothing before this token is cancelled. The state of the outbox is measured before,
    /// too.
    #[must_use]
    pub fn publishing_after(mut self, ready: CancellationToken) -> Self {
        self.publishes_after = Some(ready);
        self
    }

    /// Replaces the time after which the outbox is read without a notification, 2 seconds by default.
    #[must_use]
    pub fn with_poll_interval(mut self, poll_interval: Duration) -> Self {
        self.poll_interval = poll_interval;
        self
    }

    /// The declarations that the broker refused. Events are published all the same.
    pub fn refused_declarations(&self) -> RefusedDeclarations {
        self.refused_declarations.clone()
    }

    /// Runs until `stop`, through any failure of database and broker. Finishes the messages
    /// that are in flight.
    pub async fn run(self, stop: CancellationToken) {
        let notify = Notify::new();
        // In the relay's own task, so that a panic in one of them ends the relay.
        tokio::join!(
            notifications::listen(&self.pool, self.schema, &notify, &stop),
            lag::measure(&self.pool, self.schema, &stop),
            async {
                if let Some(ready) = &self.publishes_after {
                    stop.run_until_cancelled(ready.cancelled()).await;
                }
                // Returns at once after `stop`.
                self.publish_until(&notify, &stop).await;
            },
        );
    }

    async fn publish_until(&self, notify: &Notify, stop: &CancellationToken) {
        let mut retry_delay = RetryDelay::new();
        let mut limit = BATCH_SIZE;
        while !stop.is_cancelled() {
            let session = self.session(notify, &mut retry_delay, &mut limit, stop);
            match Box::pin(session).await {
                Ok(()) => break,
                Err(error) => {
                    // One row at a time: this finds the row that ends the connection.
                    limit = 1;
                    tracing::warn!(schema = ?self.schema, %error, "outbox relay starts again");
                    if !retry_delay.wait(stop).await {
                        break;
                    }
                }
            }
        }
    }

    /// Publishes over one connection. Returns `Ok` only after `stop`.
    async fn session(
        &self,
        notify: &Notify,
        retry_delay: &mut RetryDelay,
        limit: &mut i64,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let connection = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connected = self.broker.connect() => connected?,
        };
        let refused = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            declared = declare_exchanges(&connection) => declared?,
        };
        self.refused_declarations.replace(&refused);
        self.publisher.held_back.all_due();
        tracing::info!(schema = ?self.schema, "outbox relay connected");
        tokio::select! {
            ended = self.publish_pending(&connection, notify, retry_delay, limit, stop) => ended?,
            error = self.retry_held_back(&connection) => return Err(error),
        }
        let closed = reply("close", connection.close(200, "shutting down".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection was closed already");
        }
        Ok(())
    }

    /// Publishes every row that is not held back, until `stop`.
    async fn publish_pending(
        &self,
        connection: &Connection,
        notify: &Notify,
        retry_delay: &mut RetryDelay,
        limit: &mut i64,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let channel = open_confirm_channel(connection).await?;
        while !stop.is_cancelled() {
            // A blocked broker (disk or memory alarm) accepts nothing: claim nothing.
            let batch = if connection.status().blocked() {
                Batch::default()
            } else {
                let publishing =
                    self.publisher
                        .publish_batch(&channel, &Scope::NotHeldBack, *limit);
                tokio::time::timeout(BATCH_TIMEOUT, publishing)
                    .await
                    .map_err(|_| BrokerError::Timeout("batch"))??
            };
            if batch.published > 0 {
                retry_delay.reset();
            }
            let more = batch.claimed as u64 == limit.unsigned_abs();
            *limit = (*limit * 2).min(BATCH_SIZE);
            if more {
                continue;
            }
            if !connection.status().connected() {
                return Err(BrokerError::Cancelled.into());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = notify.notified() => {}
                () = tokio::time::sleep(self.poll_interval) => {}
            }
        }
        Ok(())
    }

    /// Retries each destination that is held back when it is due. Ends with the connection.
    async fn retry_held_back(&self, connection: &Connection) -> RelayError {
        let publisher = &self.publisher;
        let mut channel = None;
        loop {
            tokio::time::sleep(RETRY_INTERVAL).await;
            if connection.status().blocked() {
                continue;
            }
            while let Some(destination) = publisher.held_back.due() {
                let open = match channel.take() {
                    Some(open) => open,
                    None => match open_confirm_channel(connection).await {
                        Ok(open) => open,
                        Err(error) => return error.into(),
                    },
                };
                let scope = Scope::Destination(&destination);
                let retried = publisher.publish_batch(&open, &scope, RETRY_BATCH_SIZE);
                let settled = match retried.await {
                    Ok(batch) => publisher.release_if_published(&destination, batch).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = settled {
                    return error;
                }
                channel = Some(open);
            }
        }
    }
}
