//! Claims rows, publishes them, and deletes what the broker confirmed.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lapin::Channel;
use latchkey_domain::EventId;
use latchkey_service::{database, telemetry};
use sqlx::{PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::held_back::{Destination, HeldBack};
use super::lag::published;
use crate::broker::{BrokerError, confirmed, publish};
use crate::envelope::Envelope;
use crate::message_span::{Message, record_failure};
use crate::outbox::schema::{Schema, per_schema};

/// If no further message of a batch is confirmed for this long, the rest is held back.
const CONFIRM_GAP: Duration = Duration::from_secs(5);

/// Why a session of the relay ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// The claimed rows stay locked until the transaction ends.
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
    /// Age in seconds when it was claimed, by the clock of the database.
    age: f64,
}

impl Row {
    fn destination(&self) -> Destination {
        Destination {
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
        }
    }

    /// The span of the publication, in the trace of what wrote the row.
    fn span(&self) -> Span {
        let message = Message {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            event: Some((EventId::from(self.event_id), &self.event_type)),
            bytes: self.payload.len(),
            traceparent: self.traceparent.as_deref(),
        };
        message.publish_span()
    }

    /// The headers; consumers continue the trace from `span`, the publication.
    fn envelope(&self, source: &str, span: &Span) -> Envelope {
        Envelope {
            id: EventId::from(self.event_id),
            source: source.to_owned(),
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            time: Some(self.created_at),
            traceparent: telemetry::traceparent_of(span).or_else(|| self.traceparent.clone()),
            attempts: 0,
        }
    }
}

/// Which rows are claimed.
pub(super) enum Scope<'a> {
    /// The rows that are not held back.
    NotHeldBack,
    /// The rows of a destination that is held back.
    Destination(&'a Destination),
}

/// How many rows of a batch were claimed and published.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batch {
    pub(super) claimed: usize,
    pub(super) published: usize,
}

/// Publishes batches of the rows of one outbox.
#[derive(Debug)]
pub(super) struct Publisher {
    /// For claims: rows stay locked while the broker is waited for, and requests must not
    /// wait for that connection.
    claims: PgPool,
    /// The same for rows that are held back. No connection is opened while there are none.
    retries: PgPool,
    schema: Schema,
    source: String,
    pub(super) held_back: HeldBack,
}

impl Publisher {
    pub(super) fn new(pool: &PgPool, schema: Schema, source: String) -> Self {
        Self {
            claims: database::separate_pool(pool),
            retries: database::separate_pool(pool),
            schema,
            source,
            held_back: HeldBack::default(),
        }
    }

    /// Releases a destination if every claimed row was published. If another relay is
    /// retrying the rows that are left, the destination stays held back.
    pub(super) async fn release_if_published(
        &self,
        destination: &Destination,
        batch: Batch,
    ) -> Result<(), RelayError> {
        if batch.claimed > batch.published {
            return Ok(());
        }
        if batch.claimed == 0 && self.has_rows(destination).await? {
            self.held_back.hold(destination.clone());
        } else {
            self.held_back.release(destination);
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
        .fetch_one(&self.retries);
        database::within(database::ANSWER, found).await
    }

    /// Claims a batch, publishes it, and deletes what the broker confirmed. The rows stay
    /// locked meanwhile. If this process dies, the locks end with its connection and another
    /// relay publishes the rows, possibly for the second time. What is not confirmed is held
    /// back.
    pub(super) async fn publish_batch(
        &self,
        channel: &Channel,
        scope: &Scope<'_>,
        limit: i64,
    ) -> Result<Batch, RelayError> {
        let claimed = database::within(database::ANSWER, self.claim(scope, limit));
        let Some((transaction, rows)) = claimed.await? else {
            return Ok(Batch::default());
        };
        let claimed_at = Instant::now();

        let in_flight = FuturesUnordered::new();
        let mut failure = None;
        for (index, row) in rows.iter().enumerate() {
            let span = row.span();
            let sent = publish(
                channel,
                &row.exchange,
                &row.routing_key,
                &row.payload,
                row.envelope(&self.source, &span).to_properties(),
            );
            let error = match sent.instrument(span.clone()).await {
                Ok(confirm) => {
                    in_flight.push(async move {
                        let outcome = confirmed(confirm).instrument(span.clone()).await;
                        if let Err(error) = &outcome {
                            record_failure(&span, error.kind());
                        }
                        (index, outcome)
                    });
                    continue;
                }
                Err(error) => error,
            };
            record_failure(&span, error.kind());
            // The names of the row are too long for the protocol.
            if matches!(error, BrokerError::Refused(_)) {
                self.hold_row(row, &error);
            } else {
                failure = Some(error);
                break;
            }
        }
        let (done, ended) = self.settle(&rows, claimed_at, in_flight).await;
        let failure = failure.or(ended);

        database::within(database::ANSWER, self.delete(transaction, &done)).await?;
        self.held_back.forget_rows(&done);
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

    /// Waits for the confirms. Returns the rows that were confirmed, and the error that ended
    /// the connection, if any. Destinations whose messages were returned, refused or not
    /// confirmed are held back.
    async fn settle(
        &self,
        rows: &[Row],
        claimed_at: Instant,
        mut in_flight: FuturesUnordered<impl Future<Output = (usize, Result<(), BrokerError>)>>,
    ) -> (Vec<i64>, Option<BrokerError>) {
        let mut open: Vec<bool> = vec![false; rows.len()];
        for (index, row) in rows.iter().enumerate() {
            open[index] = !self.held_back.holds_row(row.seq);
        }
        let mut done = Vec::with_capacity(rows.len());
        let mut ended = None;
        let published = published(self.schema);
        while let Ok(Some((index, outcome))) =
            tokio::time::timeout(CONFIRM_GAP, in_flight.next()).await
        {
            let Some(row) = rows.get(index) else {
                continue;
            };
            match outcome {
                Ok(()) => {
                    open[index] = false;
                    published.record(row.age + claimed_at.elapsed().as_secs_f64());
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
        if let Some(wait) = self.held_back.hold(row.destination()) {
            tracing::error!(
                event.id = %row.event_id, exchange = row.exchange,
                routing_key = row.routing_key, ?wait, %error,
                "events stay in the outbox: tried again later, the others go on"
            );
        }
    }

    fn hold_row(&self, row: &Row, error: &BrokerError) {
        let wait = self.held_back.hold_row(row.seq);
        tracing::error!(
            event.id = %row.event_id, event.r#type = row.event_type, ?wait, %error,
            "event stays in the outbox: tried again later"
        );
    }

    /// Locks the oldest rows that no other relay has claimed.
    async fn claim(
        &self,
        scope: &Scope<'_>,
        limit: i64,
    ) -> Result<Option<(Claim, Vec<Row>)>, sqlx::Error> {
        let (only, pool, destinations) = match scope {
            Scope::NotHeldBack => (false, &self.claims, self.held_back.destinations()),
            Scope::Destination(destination) => (true, &self.retries, vec![(*destination).clone()]),
        };
        let (exchanges, keys): (Vec<String>, Vec<String>) = destinations
            .into_iter()
            .map(|destination| (destination.exchange, destination.routing_key))
            .unzip();
        let mut transaction = pool.begin().await?;
        let rows: Vec<Row> = sqlx::query_as(per_schema!(
            self.schema,
            "SELECT seq, event_id, exchange, routing_key, event_type, subject, payload,
                    traceparent, created_at,
                    extract(epoch FROM clock_timestamp() - created_at)::float8 AS age
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
        .bind(self.held_back.rows())
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            transaction.rollback().await?;
            return Ok(None);
        }
        Ok(Some((transaction, rows)))
    }

    async fn delete(&self, mut transaction: Claim, done: &[i64]) -> Result<(), sqlx::Error> {
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
