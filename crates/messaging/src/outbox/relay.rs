//! Publishes what the outbox holds.
//!
//! A destination whose messages the broker does not confirm is held back and tried
//! apart, ever more rarely, and so is a row that ends the connection each time it is
//! published: neither slows the others.

mod held;
mod lag;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use latchkey_domain::EventId;
use latchkey_service::database;
use sqlx::{PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Schema, per_schema};
use crate::broker::{BrokerConfig, BrokerError, RetryDelay, answered, confirmed, publish};
use crate::envelope::Envelope;
use crate::topology::{Complaints, declare_exchanges};

use held::{Destination, Held};

/// Messages in flight at once.
const BATCH: i64 = 128;
/// Messages of a destination that is held back which are tried at once.
const TRIED: i64 = 16;
/// A batch in which nothing more is confirmed for so long is not waited for: what
/// is left of it is held back.
const CONFIRM_GAP: Duration = Duration::from_secs(5);
/// How often it is looked whether something that is held back is due.
const LOOK: Duration = Duration::from_millis(500);
/// A batch that takes longer is given up, its rows unlocked: a database or a
/// broker that hangs must not hang the relay.
const BATCH_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a notification may stay away before the relay looks by itself.
const POLL: Duration = Duration::from_secs(2);

/// Why a round of the relay ended.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Rows stay locked for as long as it is open.
type Claim = Transaction<'static, Postgres>;

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    event_id: Uuid,
    exchange: String,
    routing_key: String,
    event_type: String,
    subject: String,
    payload: Vec<u8>,
    traceparent: Option<String>,
    created_at: OffsetDateTime,
}

impl Row {
    fn destination(&self) -> Destination {
        Destination {
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
        }
    }

    fn envelope(&self, source: &str) -> Envelope {
        Envelope {
            id: EventId::from(self.event_id),
            source: source.to_owned(),
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            time: Some(self.created_at),
            traceparent: self.traceparent.clone(),
            attempts: 0,
        }
    }
}

/// Which rows are claimed.
enum Scope<'a> {
    /// Those that nothing is held against.
    Others,
    /// Those of a destination that is held back.
    Only(&'a Destination),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    claimed: usize,
    published: usize,
}

/// Publishes the rows of one outbox. Any number of relays may run at once: a
/// row that one has claimed is passed over by the others.
#[derive(Debug)]
pub struct Relay {
    pool: PgPool,
    /// Rows stay locked while the broker is waited for: not on a connection that
    /// a request could have.
    claims: PgPool,
    /// The same for what is held back. No connection is opened while nothing is.
    tries: PgPool,
    schema: Schema,
    broker: BrokerConfig,
    source: String,
    held: Held,
    complaints: Complaints,
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
            claims: database::apart(&pool),
            tries: database::apart(&pool),
            pool,
            schema,
            broker,
            source: source.into(),
            held: Held::default(),
            complaints: Complaints::default(),
        }
    }

    /// What the broker refuses to declare. Events are published all the same.
    pub fn complaints(&self) -> Complaints {
        self.complaints.clone()
    }

    /// Runs until `stop`, whatever database and broker do. Finishes the
    /// messages that are in flight.
    pub async fn run(self, stop: CancellationToken) {
        let woken = Arc::new(tokio::sync::Notify::new());
        let listening = wake::listen(self.pool.clone(), self.schema, woken.clone(), stop.clone());
        let lag = lag::show(self.pool.clone(), self.schema, stop.clone());
        // In the relay's own task, so that a panic in one of them is not overlooked.
        tokio::join!(listening, lag, self.publish_until(&woken, &stop));
    }

    async fn publish_until(&self, woken: &tokio::sync::Notify, stop: &CancellationToken) {
        let mut backoff = RetryDelay::new();
        let mut limit = BATCH;
        while !stop.is_cancelled() {
            let session = self.session(woken, &mut backoff, &mut limit, stop);
            match Box::pin(session).await {
                Ok(()) => break,
                Err(error) => {
                    // One at a time: whichever ends the connection is found out.
                    limit = 1;
                    tracing::warn!(schema = ?self.schema, %error, "outbox relay starts again");
                    if !backoff.wait(stop).await {
                        break;
                    }
                }
            }
        }
    }

    /// One connection's life. Ends well only where `stop` came.
    async fn session(
        &self,
        woken: &tokio::sync::Notify,
        backoff: &mut RetryDelay,
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
        self.complaints.replace(&refused);
        self.held.all_due();
        tracing::info!(schema = ?self.schema, "outbox relay connected");
        tokio::select! {
            ended = self.publish_others(&connection, woken, backoff, limit, stop) => ended?,
            error = self.try_held(&connection) => return Err(error),
        }
        let closed = answered("close", connection.close(200, "shutting down".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection was closed already");
        }
        Ok(())
    }

    /// Publishes everything that nothing is held against, until `stop`.
    async fn publish_others(
        &self,
        connection: &Connection,
        woken: &tokio::sync::Notify,
        backoff: &mut RetryDelay,
        limit: &mut i64,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let channel = open(connection).await?;
        while !stop.is_cancelled() {
            // A blocked broker (disk or memory alarm) takes nothing: claim nothing.
            let batch = if connection.status().blocked() {
                Batch::default()
            } else {
                let publishing = self.publish_batch(&channel, &Scope::Others, *limit);
                tokio::time::timeout(BATCH_TIMEOUT, publishing)
                    .await
                    .map_err(|_| BrokerError::Timeout("batch"))??
            };
            if batch.published > 0 {
                backoff.reset();
            }
            let more = batch.claimed as u64 == limit.unsigned_abs();
            *limit = (*limit * 2).min(BATCH);
            if more {
                continue;
            }
            if !connection.status().connected() {
                return Err(BrokerError::Cancelled.into());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = woken.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Tries what is held back, each destination when it is due. Ends with the
    /// connection.
    async fn try_held(&self, connection: &Connection) -> RelayError {
        let mut channel = None;
        loop {
            tokio::time::sleep(LOOK).await;
            if connection.status().blocked() {
                continue;
            }
            while let Some(destination) = self.held.due() {
                let open = match channel.take() {
                    Some(open) => open,
                    None => match open(connection).await {
                        Ok(open) => open,
                        Err(error) => return error.into(),
                    },
                };
                let scope = Scope::Only(&destination);
                let tried = self.publish_batch(&open, &scope, TRIED).await;
                if let Err(error) = self.after_try(&destination, tried).await {
                    return error;
                }
                channel = Some(open);
            }
        }
    }

    /// A destination that took everything it was tried with goes back to the others.
    async fn after_try(
        &self,
        destination: &Destination,
        tried: Result<Batch, RelayError>,
    ) -> Result<(), RelayError> {
        let batch = tried?;
        if batch.claimed > batch.published {
            return Ok(());
        }
        // Another relay may be trying what is left.
        if batch.claimed == 0 && self.has_rows(destination).await? {
            self.held.hold(destination.clone());
        } else {
            self.held.release(destination);
        }
        Ok(())
    }

    async fn has_rows(&self, destination: &Destination) -> Result<bool, sqlx::Error> {
        let found = sqlx::query_scalar(per_schema!(
            self.schema,
            "SELECT EXISTS (SELECT FROM ",
            ".outbox WHERE exchange = $1 AND routing_key = $2)"
        ))
        .bind(&destination.exchange)
        .bind(&destination.routing_key)
        .fetch_one(&self.tries);
        database::within(database::ANSWER, found).await
    }

    /// Claims a batch, publishes it, deletes what the broker confirmed. The
    /// rows stay locked meanwhile, for as long as a confirm may take at most;
    /// where this process dies, the locks go with its connection and another
    /// relay publishes them (again). What is not confirmed is held back.
    async fn publish_batch(
        &self,
        channel: &Channel,
        scope: &Scope<'_>,
        limit: i64,
    ) -> Result<Batch, RelayError> {
        let claimed = database::within(database::ANSWER, self.claim(scope, limit));
        let Some((transaction, rows)) = claimed.await? else {
            return Ok(Batch::default());
        };

        let in_flight = FuturesUnordered::new();
        let mut failure = None;
        for (index, row) in rows.iter().enumerate() {
            let sent = publish(
                channel,
                &row.exchange,
                &row.routing_key,
                &row.payload,
                row.envelope(&self.source).to_properties(),
            );
            match sent.await {
                Ok(confirm) => in_flight.push(async move { (index, confirmed(confirm).await) }),
                // It can be published as little as its names can be written.
                Err(error @ BrokerError::Refused(_)) => self.hold_row(row, &error),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let (done, ended) = self.settle(&rows, in_flight).await;
        let failure = failure.or(ended);

        database::within(database::ANSWER, self.forget(transaction, &done)).await?;
        self.held.forget_rows(&done);
        tracing::debug!(schema = ?self.schema, published = done.len(), "outbox published");
        match (failure, rows.as_slice()) {
            (None, _) => Ok(Batch {
                claimed: rows.len(),
                published: done.len(),
            }),
            (Some(error), [alone]) => {
                self.hold_row(alone, &error);
                Err(error.into())
            }
            (Some(error), _) => Err(error.into()),
        }
    }

    /// Waits for the confirms. Answers what was confirmed, and the error that ended
    /// the connection, if any. Destinations whose messages were given back, refused
    /// or not confirmed are held back.
    async fn settle(
        &self,
        rows: &[Row],
        mut in_flight: FuturesUnordered<impl Future<Output = (usize, Result<(), BrokerError>)>>,
    ) -> (Vec<i64>, Option<BrokerError>) {
        let mut open: Vec<bool> = vec![false; rows.len()];
        for (index, row) in rows.iter().enumerate() {
            open[index] = !self.held.holds_row(row.seq);
        }
        let mut done = Vec::with_capacity(rows.len());
        let mut ended = None;
        while let Ok(Some((index, outcome))) =
            tokio::time::timeout(CONFIRM_GAP, in_flight.next()).await
        {
            let Some(row) = rows.get(index) else {
                continue;
            };
            match outcome {
                Ok(()) => {
                    open[index] = false;
                    done.push(row.seq);
                }
                Err(error @ BrokerError::Amqp(_)) => {
                    open[index] = false;
                    ended = Some(error);
                }
                Err(error) => {
                    open[index] = false;
                    self.hold(row, &error);
                }
            }
        }
        if ended.is_none() {
            let unconfirmed = rows.iter().zip(&open).filter(|(_, open)| **open);
            for (row, _) in unconfirmed {
                self.hold(row, &BrokerError::Timeout("publisher confirm"));
            }
        }
        (done, ended)
    }

    fn hold(&self, row: &Row, error: &BrokerError) {
        if let Some(wait) = self.held.hold(row.destination()) {
            tracing::error!(
                event.id = %row.event_id, exchange = row.exchange,
                routing_key = row.routing_key, ?wait, %error,
                "events stay in the outbox: tried again later, the others go on"
            );
        }
    }

    fn hold_row(&self, row: &Row, error: &BrokerError) {
        let wait = self.held.hold_row(row.seq);
        tracing::error!(
            event.id = %row.event_id, event.r#type = row.event_type, ?wait, %error,
            "event stays in the outbox: tried again later"
        );
    }

    /// The oldest rows that nobody else has, locked.
    async fn claim(
        &self,
        scope: &Scope<'_>,
        limit: i64,
    ) -> Result<Option<(Claim, Vec<Row>)>, sqlx::Error> {
        let (only, pool, destinations) = match scope {
            Scope::Others => (false, &self.claims, self.held.destinations()),
            Scope::Only(destination) => (true, &self.tries, vec![(*destination).clone()]),
        };
        let (exchanges, keys): (Vec<String>, Vec<String>) = destinations
            .into_iter()
            .map(|destination| (destination.exchange, destination.routing_key))
            .unzip();
        let mut transaction = pool.begin().await?;
        let rows: Vec<Row> = sqlx::query_as(per_schema!(
            self.schema,
            "SELECT seq, event_id, exchange, routing_key, event_type, subject, payload,
                    traceparent, created_at
             FROM ",
            ".outbox
             WHERE ((exchange, routing_key) IN (SELECT * FROM unnest($2::text[], $3::text[]))) = $4
               AND seq <> ALL($5)
             ORDER BY seq
             LIMIT $1
             FOR UPDATE SKIP LOCKED"
        ))
        .bind(limit)
        .bind(exchanges)
        .bind(keys)
        .bind(only)
        .bind(self.held.rows())
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            transaction.rollback().await?;
            return Ok(None);
        }
        Ok(Some((transaction, rows)))
    }

    async fn forget(&self, mut transaction: Claim, done: &[i64]) -> Result<(), sqlx::Error> {
        sqlx::query(per_schema!(
            self.schema,
            "DELETE FROM ",
            ".outbox WHERE seq = ANY($1)"
        ))
        .bind(done)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }
}

/// A channel in confirm mode.
async fn open(connection: &Connection) -> Result<Channel, BrokerError> {
    let channel = answered("open a channel", connection.create_channel()).await?;
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    answered("confirm mode", confirming).await?;
    Ok(channel)
}
