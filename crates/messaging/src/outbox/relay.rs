//! Publishes the rows of the outbox.
//!
//! One loop claims a batch, publishes it, waits for the confirms, deletes the rows and commits. While
//! there is a backlog further loops do the same with the next rows, so that claims, confirms and
//! commits of several batches overlap
//! ([decision 6](../../../../docs/decisions/0006-a-relay-publishes-under-its-locks.md)).
//!
//! A destination whose messages the broker does not confirm is held back and retried
//! separately, with a growing wait, and so is a row that ends the connection whenever it is
//! published: neither delays the other rows.

mod held_back;
mod in_flight;
mod lag;
mod publisher;

use std::time::Duration;

use futures::future::join_all;
use lapin::{Channel, Connection};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::schema::Schema;
use super::waker::OutboxWaker;
use crate::broker::{BrokerConfig, BrokerError, RetryDelay, open_confirm_channel, reply};
use crate::topology::{RefusedDeclarations, declare_exchanges};

use publisher::{Batch, Publisher, RelayError, Scope};

/// Messages of one batch.
const BATCH_SIZE: i64 = 128;
/// Loops that publish besides the first one while there is a backlog.
const BACKLOG_LOOPS: u8 = 3;
/// Messages in flight at once of a destination that is held back.
const RETRY_BATCH_SIZE: i64 = 16;
/// How often the relay checks whether a destination that is held back is due.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// A batch that takes longer is given up and its rows are unlocked: a database or a broker
/// that hangs must not hang the relay.
const BATCH_TIMEOUT: Duration = Duration::from_secs(45);
/// The relay reads the outbox this often if nobody wakes it: for the messages of other processes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// After a batch that had rows and was not full, the next one begins at least this long after it
/// began. While rows keep arriving, they are gathered: the four statements of a batch cost as much
/// for one row as for ten. A row that arrives alone does not wait.
const GATHERING: Duration = Duration::from_millis(10);

/// Publishes the rows of one outbox. Any number of relays may run at once: each skips the
/// rows that another has claimed.
#[derive(Debug)]
pub struct Relay {
    pool: PgPool,
    schema: Schema,
    broker: BrokerConfig,
    publisher: Publisher,
    refused_declarations: RefusedDeclarations,
    waker: OutboxWaker,
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
            publisher: Publisher::new(&pool, schema, source.into(), BACKLOG_LOOPS.into()),
            pool,
            schema,
            broker,
            refused_declarations: RefusedDeclarations::default(),
            waker: OutboxWaker::default(),
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

    /// Lets this waker, and its clones, wake the relay.
    #[must_use]
    pub fn woken_by(mut self, waker: OutboxWaker) -> Self {
        self.waker = waker;
        self
    }

    /// Replaces the time after which the outbox is read if nobody wakes the relay, 500 ms by default.
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
        // In the relay's own task, so that a panic in one of them ends the relay.
        tokio::join!(lag::measure(&self.pool, self.schema, &stop), async {
            if let Some(ready) = &self.publishes_after {
                stop.run_until_cancelled(ready.cancelled()).await;
            }
            // Returns at once after `stop`.
            self.publish_until(&stop).await;
        });
    }

    async fn publish_until(&self, stop: &CancellationToken) {
        let mut retry_delay = RetryDelay::new();
        let mut limit = BATCH_SIZE;
        while !stop.is_cancelled() {
            let session = self.session(&mut retry_delay, &mut limit, stop);
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
        self.publish_all(&connection, retry_delay, limit, stop)
            .await?;
        let closed = reply("close", connection.close(200, "shutting down".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection was closed already");
        }
        Ok(())
    }

    /// Runs all loops until `stop` or until one of them fails. The others then finish the batch that
    /// they have in flight, so that it is not published again.
    async fn publish_all(
        &self,
        connection: &Connection,
        retry_delay: &mut RetryDelay,
        limit: &mut i64,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let ending = stop.child_token();
        let starts: Vec<Notify> = (0..BACKLOG_LOOPS).map(|_| Notify::new()).collect();
        let first = ends_with(
            &ending,
            self.publish_pending(connection, starts.first(), retry_delay, limit, &ending),
        );
        let backlog = starts.iter().enumerate().map(|(number, start)| {
            let next = starts.get(number + 1);
            ends_with(
                &ending,
                self.publish_backlog(connection, start, next, &ending),
            )
        });
        let retries = ends_with(&ending, self.retry_held_back(connection, &ending));
        let (first, backlog, retries) = tokio::join!(first, join_all(backlog), retries);
        first?;
        backlog.into_iter().collect::<Result<(), RelayError>>()?;
        retries
    }

    /// Publishes every row that is not held back, until `stop`. Starts the first loop of the backlog
    /// when there are more rows than one batch.
    async fn publish_pending(
        &self,
        connection: &Connection,
        next: Option<&Notify>,
        retry_delay: &mut RetryDelay,
        limit: &mut i64,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let mut channel = open_confirm_channel(connection).await?;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            // A blocked broker (disk or memory alarm) accepts nothing: claim nothing.
            let batch = if connection.status().blocked() {
                Batch::default()
            } else {
                self.publish_batch(&channel, &Scope::NotHeldBack, *limit, next)
                    .await?
            };
            if batch.published > 0 {
                retry_delay.reset();
            }
            if batch.spoils_channel {
                channel = open_confirm_channel(connection).await?;
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
                () = self.waker.woken() => {}
                () = tokio::time::sleep(self.poll_interval) => {}
            }
            if batch.claimed > 0 {
                let gathered = tokio::time::sleep_until(begun + GATHERING);
                stop.run_until_cancelled(gathered).await;
            }
        }
        Ok(())
    }

    /// Publishes rows of a backlog whenever `start` says that there is one, until there are less
    /// rows than one batch. Starts the next loop when there are more.
    async fn publish_backlog(
        &self,
        connection: &Connection,
        start: &Notify,
        next: Option<&Notify>,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let mut channel = None;
        while let Some(()) = stop.run_until_cancelled(start.notified()).await {
            while !stop.is_cancelled() && !connection.status().blocked() {
                let open = match channel.take() {
                    Some(open) => open,
                    None => open_confirm_channel(connection).await?,
                };
                let published = self
                    .publish_batch(&open, &Scope::Backlog, BATCH_SIZE, next)
                    .await;
                let batch = match published {
                    Ok(batch) => batch,
                    // The first loop goes on alone, and notices a database that is away.
                    Err(RelayError::Database(error)) => {
                        tracing::debug!(schema = ?self.schema, %error, "the backlog is not shared");
                        break;
                    }
                    Err(error) => return Err(error),
                };
                if !batch.spoils_channel {
                    channel = Some(open);
                }
                if !is_full(batch.claimed) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Publishes one batch. If it is full, `next` is notified as soon as its rows are claimed.
    async fn publish_batch(
        &self,
        channel: &Channel,
        scope: &Scope<'_>,
        limit: i64,
        next: Option<&Notify>,
    ) -> Result<Batch, RelayError> {
        let publishing = async {
            let mut connection = self.publisher.connection(scope).await?;
            let claimed = self.publisher.claim(&mut connection, scope, limit);
            let batch = match claimed.await? {
                Some(claim) => {
                    if is_full(claim.rows())
                        && let Some(next) = next
                    {
                        next.notify_one();
                    }
                    self.publisher.publish(channel, claim).await?
                }
                None => Batch::default(),
            };
            connection.return_untested();
            Ok(batch)
        };
        tokio::time::timeout(BATCH_TIMEOUT, Box::pin(publishing))
            .await
            .map_err(|_| BrokerError::Timeout("batch"))?
    }

    /// Retries each destination that is held back when it is due, until `stop`.
    async fn retry_held_back(
        &self,
        connection: &Connection,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let publisher = &self.publisher;
        let mut channel = None;
        loop {
            let pause = tokio::time::sleep(RETRY_INTERVAL);
            if stop.run_until_cancelled(pause).await.is_none() {
                return Ok(());
            }
            if connection.status().blocked() {
                continue;
            }
            while !stop.is_cancelled()
                && let Some(destination) = publisher.held_back.due()
            {
                let open = match channel.take() {
                    Some(open) => open,
                    None => open_confirm_channel(connection).await?,
                };
                let scope = Scope::Destination(&destination);
                let retried = self.publish_batch(&open, &scope, RETRY_BATCH_SIZE, None);
                let batch = retried.await?;
                publisher.release_if_published(&destination, batch).await?;
                if !batch.spoils_channel {
                    channel = Some(open);
                }
            }
        }
    }
}

/// Whether a batch has as many rows as one may have.
fn is_full(rows: usize) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows >= BATCH_SIZE)
}

/// Cancels `ending` when `work` has ended.
async fn ends_with(
    ending: &CancellationToken,
    work: impl Future<Output = Result<(), RelayError>>,
) -> Result<(), RelayError> {
    let outcome = work.await;
    ending.cancel();
    outcome
}
