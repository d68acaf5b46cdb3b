//! Claims rows, publishes them, and deletes what the broker confirmed.

use std::time::Duration;

use lapin::Channel;
use latchkey_domain::EventId;
use latchkey_service::database::{self, BoundedConnection};
use latchkey_service::telemetry::TraceSpan;
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::held_back::{Destination, HeldBack};
use super::in_flight::{self, Answer, Answers, Outgoing};
use super::lag::published;
use crate::broker::BrokerError;
use crate::envelope::Attributes;
use crate::message_span::Message;
use crate::outbox::schema::{Schema, per_schema};

/// A connection of the backlog that is not used for this long is closed.
const BACKLOG_IDLE: Duration = Duration::from_secs(30);

/// Why a session of the relay ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Rows that stay locked until the transaction ends. If it is dropped, other relays can claim them.
pub(super) struct Claim<'c> {
    transaction: Transaction<'c, Postgres>,
    rows: Vec<PgRow>,
    at: Instant,
}

impl Claim<'_> {
    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }
}

#[derive(sqlx::FromRow)]
struct Row<'a> {
    seq: i64,
    event_id: Uuid,
    exchange: &'a str,
    routing_key: &'a str,
    event_type: &'a str,
    subject: &'a str,
    payload: &'a [u8],
    traceparent: Option<&'a str>,
    created_at: OffsetDateTime,
    /// Age in seconds when it was claimed, by the clock of the database.
    age: f64,
}

impl<'a> Row<'a> {
    fn destination(&self) -> Destination {
        Destination {
            exchange: self.exchange.to_owned(),
            routing_key: self.routing_key.to_owned(),
        }
    }

    /// The span of the publication, in the trace of what wrote the row.
    fn span(&self) -> TraceSpan {
        let message = Message {
            exchange: self.exchange,
            routing_key: self.routing_key,
            event: Some((EventId::from(self.event_id), self.event_type)),
            bytes: self.payload.len(),
            traceparent: self.traceparent,
        };
        message.publish_span()
    }

    /// The message; consumers continue the trace from `span`, the publication.
    fn message(&self, source: &str, span: &TraceSpan) -> Outgoing<'a> {
        let publication = span.traceparent();
        let attributes = Attributes {
            id: EventId::from(self.event_id),
            source,
            event_type: self.event_type,
            subject: self.subject,
            time: Some(self.created_at),
            traceparent: publication.as_deref().or(self.traceparent),
        };
        Outgoing {
            exchange: self.exchange,
            routing_key: self.routing_key,
            payload: self.payload,
            properties: attributes.to_properties(),
        }
    }
}

/// Which rows are claimed.
pub(super) enum Scope<'a> {
    /// The rows that are not held back.
    NotHeldBack,
    /// The same, while [`Scope::NotHeldBack`] has claimed others.
    Backlog,
    /// The rows of a destination that is held back.
    Destination(&'a Destination),
}

/// The outcome of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batch {
    /// Number of rows that were claimed.
    pub(super) claimed: usize,
    /// Number of rows that were published.
    pub(super) published: usize,
    /// The broker did not answer to every message: the channel must not be used again.
    pub(super) spoils_channel: bool,
}

/// Publishes batches of the rows of one outbox.
#[derive(Debug)]
pub(super) struct Publisher {
    /// For claims: rows stay locked while the broker is waited for, and requests must not
    /// wait for that connection.
    claims: PgPool,
    /// The same for the loops that share a backlog. Connections are open only while there is a
    /// backlog.
    backlog: PgPool,
    /// The same for rows that are held back. No connection is opened while there are none.
    retries: PgPool,
    schema: Schema,
    source: String,
    pub(super) held_back: HeldBack,
}

impl Publisher {
    /// `backlog_loops` is the number of batches with [`Scope::Backlog`] that are published at once.
    pub(super) fn new(pool: &PgPool, schema: Schema, source: String, backlog_loops: u32) -> Self {
        Self {
            claims: database::separate_pool(pool),
            backlog: database::occasional_pool(pool, backlog_loops, BACKLOG_IDLE),
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
        .bind(&destination.routing_key);
        let mut connection = BoundedConnection::acquire(&self.retries).await?;
        database::within(database::ANSWER, found.fetch_one(&mut *connection)).await
    }

    /// Publishes the rows of a claim, and deletes what the broker confirmed. The rows stay
    /// locked meanwhile. If this process dies, the locks end with its connection and another
    /// relay publishes the rows, possibly for the second time. What is not confirmed is held
    /// back.
    pub(super) async fn publish(
        &self,
        channel: &Channel,
        claim: Claim<'_>,
    ) -> Result<Batch, RelayError> {
        let rows: Vec<Row<'_>> = claim
            .rows
            .iter()
            .map(Row::from_row)
            .collect::<Result<_, _>>()?;
        let spans: Vec<TraceSpan> = rows.iter().map(Row::span).collect();
        let messages = rows
            .iter()
            .zip(&spans)
            .map(|(row, span)| row.message(&self.source, span))
            .collect();
        let Answers {
            each,
            ended,
            complete,
        } = in_flight::publish(channel, messages).await;

        let published = published(self.schema);
        let mut done = Vec::with_capacity(rows.len());
        for ((row, span), answer) in rows.iter().zip(&spans).zip(each) {
            match answer {
                Answer::Confirmed(at) => {
                    let since_claim = at.duration_since(claim.at).as_secs_f64();
                    published.record(row.age + since_claim);
                    done.push(row.seq);
                }
                Answer::Refused(error) => {
                    span.record_failure(error.kind());
                    self.hold(row, &error);
                }
                // The names of the row are too long for the protocol.
                Answer::Unwritable(error) => {
                    span.record_failure(error.kind());
                    self.hold_row(row, &error);
                }
                // The connection is the cause, which the other rows lost too.
                Answer::Open if ended.is_some() => {
                    span.record_failure(ended.as_ref().map_or("amqp", BrokerError::kind));
                }
                Answer::Open => {
                    let error = BrokerError::Timeout("publisher confirm");
                    span.record_failure(error.kind());
                    self.hold(row, &error);
                }
            }
        }
        drop(spans);

        database::within(database::ANSWER, self.delete(claim.transaction, &done)).await?;
        self.held_back.forget_rows(&done);
        tracing::debug!(schema = ?self.schema, published = done.len(), "outbox published");
        match (ended, rows.as_slice()) {
            (None, _) => Ok(Batch {
                claimed: rows.len(),
                published: done.len(),
                spoils_channel: !complete,
            }),
            (Some(error), [alone]) => {
                self.hold_row(alone, &error);
                Err(error.into())
            }
            (Some(error), _) => Err(error.into()),
        }
    }

    fn hold(&self, row: &Row<'_>, error: &BrokerError) {
        if let Some(wait) = self.held_back.hold(row.destination()) {
            tracing::error!(
                event.id = %row.event_id, exchange = row.exchange,
                routing_key = row.routing_key, ?wait, %error,
                "events stay in the outbox: tried again later, the others go on"
            );
        }
    }

    fn hold_row(&self, row: &Row<'_>, error: &BrokerError) {
        let wait = self.held_back.hold_row(row.seq);
        tracing::error!(
            event.id = %row.event_id, event.r#type = row.event_type, ?wait, %error,
            "event stays in the outbox: tried again later"
        );
    }

    /// A connection for a claim. A relay with one that is never returned would publish nothing.
    pub(super) async fn connection(
        &self,
        scope: &Scope<'_>,
    ) -> Result<BoundedConnection, sqlx::Error> {
        let pool = match scope {
            Scope::NotHeldBack => &self.claims,
            Scope::Backlog => &self.backlog,
            Scope::Destination(_) => &self.retries,
        };
        BoundedConnection::acquire(pool).await
    }

    /// Locks the oldest rows that nobody else has claimed, at most `limit`. Returns `None` if there
    /// are none.
    pub(super) async fn claim<'c>(
        &self,
        connection: &'c mut BoundedConnection,
        scope: &Scope<'_>,
        limit: i64,
    ) -> Result<Option<Claim<'c>>, sqlx::Error> {
        let locking = self.lock_rows(connection, scope, limit);
        database::within(database::ANSWER, locking).await
    }

    async fn lock_rows<'c>(
        &self,
        connection: &'c mut BoundedConnection,
        scope: &Scope<'_>,
        limit: i64,
    ) -> Result<Option<Claim<'c>>, sqlx::Error> {
        let (only, destinations) = match scope {
            Scope::NotHeldBack | Scope::Backlog => (false, self.held_back.destinations()),
            Scope::Destination(destination) => (true, vec![(*destination).clone()]),
        };
        let (exchanges, keys): (Vec<String>, Vec<String>) = destinations
            .into_iter()
            .map(|destination| (destination.exchange, destination.routing_key))
            .unzip();
        let mut transaction = connection.begin().await?;
        let rows = sqlx::query(per_schema!(
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
        Ok(Some(Claim {
            transaction,
            rows,
            at: Instant::now(),
        }))
    }

    async fn delete(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        done: &[i64],
    ) -> Result<(), sqlx::Error> {
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
