//! Publishes what the outbox holds.

mod lag;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use latchkey_domain::EventId;
use latchkey_service::database;
use sqlx::{PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Schema, per_schema};
use crate::broker::{Backoff, BrokerConfig, BrokerError, answered, confirmed, publish};
use crate::envelope::Envelope;
use crate::topology::{self, Subscription};

/// Messages in flight at once.
const BATCH: i64 = 128;
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

impl From<lapin::Error> for RelayError {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error.into())
    }
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

/// Publishes the rows of one outbox. Any number of relays may run at once: a
/// row that one has claimed is passed over by the others.
#[derive(Debug)]
pub struct Relay {
    pool: PgPool,
    /// Rows stay locked while the broker is waited for: not on a connection that
    /// a request could have.
    claims: PgPool,
    schema: Schema,
    broker: BrokerConfig,
    source: String,
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
            pool,
            schema,
            broker,
            source: source.into(),
        }
    }

    /// Runs until `stop`, whatever database and broker do. Finishes the
    /// messages that are in flight.
    pub async fn run(self, stop: CancellationToken) {
        let woken = Arc::new(tokio::sync::Notify::new());
        let listener = tokio::spawn(wake::listen(
            self.pool.clone(),
            self.schema,
            woken.clone(),
            stop.clone(),
        ));
        let lag = tokio::spawn(lag::show(self.pool.clone(), self.schema, stop.clone()));
        let mut backoff = Backoff::new();
        while !stop.is_cancelled() {
            match self.session(&woken, &mut backoff, &stop).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(schema = ?self.schema, %error, "outbox relay starts again");
                    if !backoff.wait(&stop).await {
                        break;
                    }
                }
            }
        }
        for task in [listener, lag] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the outbox ended badly");
            }
        }
    }

    /// One connection's life. Ends well only where `stop` came.
    async fn session(
        &self,
        woken: &tokio::sync::Notify,
        backoff: &mut Backoff,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        let connection = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connected = self.broker.connect() => connected?,
        };
        let channel = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = answered("open a channel", open(&connection)) => opened?,
        };
        tracing::info!(schema = ?self.schema, "outbox relay connected");
        while !stop.is_cancelled() {
            // A blocked broker (disk or memory alarm) takes nothing: claim nothing.
            let blocked = connection.status().blocked();
            let published = if blocked {
                0
            } else {
                tokio::time::timeout(BATCH_TIMEOUT, self.publish_batch(&channel))
                    .await
                    .map_err(|_| BrokerError::Timeout("batch"))??
            };
            if published > 0 {
                backoff.reset();
            }
            if published == BATCH.unsigned_abs() {
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
        let closed = answered("close", connection.close(200, "shutting down".into()));
        if let Err(error) = closed.await {
            tracing::debug!(%error, "connection was closed already");
        }
        Ok(())
    }

    /// Claims a batch, publishes it, deletes what the broker confirmed. The
    /// rows stay locked meanwhile, for as long as a confirm may take at most;
    /// where this process dies, the locks go with its connection and another
    /// relay publishes them (again).
    async fn publish_batch(&self, channel: &Channel) -> Result<u64, RelayError> {
        let claimed = database::within(database::ANSWER, self.claim());
        let Some((transaction, rows)) = claimed.await? else {
            return Ok(0);
        };

        let mut in_flight = Vec::with_capacity(rows.len());
        let mut failure = None;
        for row in &rows {
            let sent = publish(
                channel,
                &row.exchange,
                &row.routing_key,
                &row.payload,
                row.envelope(&self.source).to_properties(),
            );
            match sent.await {
                Ok(confirm) => in_flight.push(async move { (row, confirmed(confirm).await) }),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let mut done = Vec::with_capacity(in_flight.len());
        for (row, outcome) in join_all(in_flight).await {
            match outcome {
                Ok(()) => done.push(row.seq),
                Err(error) => {
                    tracing::warn!(
                        event.id = %row.event_id, event.r#type = row.event_type, %error,
                        "event stays in the outbox"
                    );
                    failure = Some(error);
                }
            }
        }

        database::within(database::ANSWER, self.forget(transaction, &done)).await?;
        tracing::debug!(schema = ?self.schema, published = done.len(), "outbox published");
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(u64::try_from(done.len()).unwrap_or(u64::MAX)),
        }
    }
    /// The oldest rows that nobody else has, locked.
    async fn claim(&self) -> Result<Option<(Claim, Vec<Row>)>, sqlx::Error> {
        let mut transaction = self.claims.begin().await?;
        let rows: Vec<Row> = sqlx::query_as(per_schema!(
            self.schema,
            "SELECT seq, event_id, exchange, routing_key, event_type, subject, payload,
                    traceparent, created_at
             FROM ",
            ".outbox
             ORDER BY seq
             LIMIT $1
             FOR UPDATE SKIP LOCKED"
        ))
        .bind(BATCH)
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

/// A channel in confirm mode, with everything declared that is published to.
async fn open(connection: &Connection) -> Result<Channel, lapin::Error> {
    let channel = connection.create_channel().await?;
    topology::declare(&channel, &Subscription::built_in()).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}
