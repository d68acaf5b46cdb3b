//! The transactional outbox: a message is a row that is written in the transaction of the change
//! that it is about.

mod message;
mod relay;
mod schema;
mod waker;

pub use crate::event::Event;
pub use message::Message;
pub use relay::Relay;
pub use schema::Schema;
pub use waker::OutboxWaker;

use schema::per_schema;
use sqlx::PgConnection;
use uuid::Uuid;

/// Writes a message into the outbox, as [`enqueue_all`] does.
///
/// # Errors
/// The database refuses.
pub async fn enqueue(
    connection: &mut PgConnection,
    schema: Schema,
    message: Message,
) -> Result<(), sqlx::Error> {
    enqueue_all(connection, schema, vec![message]).await
}

/// Writes messages into the outbox, in their order and with one statement. `connection` is that
/// of the transaction of the change; the relay publishes after the commit, at once if the committer
/// calls [`OutboxWaker::wake`]. A message whose id is still in the outbox is not written again.
///
/// # Errors
/// The database refuses.
pub async fn enqueue_all(
    connection: &mut PgConnection,
    schema: Schema,
    messages: Vec<Message>,
) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for message in messages {
        columns.push(message);
    }
    sqlx::query(per_schema!(
        schema,
        "INSERT INTO ",
        ".outbox
             (event_id, exchange, routing_key, event_type, subject, payload, traceparent)
         SELECT *
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                     $7::text[])
         ON CONFLICT (event_id) DO NOTHING"
    ))
    .bind(columns.event_ids)
    .bind(columns.exchanges)
    .bind(columns.routing_keys)
    .bind(columns.event_types)
    .bind(columns.subjects)
    .bind(columns.payloads)
    .bind(columns.traceparents)
    .execute(connection)
    .await?;
    Ok(())
}

/// Messages column by column, as the statement takes them.
#[derive(Default)]
struct Columns {
    event_ids: Vec<Uuid>,
    exchanges: Vec<&'static str>,
    routing_keys: Vec<&'static str>,
    event_types: Vec<&'static str>,
    subjects: Vec<String>,
    payloads: Vec<Vec<u8>>,
    traceparents: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, message: Message) {
        self.event_ids.push(message.event_id.as_uuid());
        self.exchanges.push(message.exchange);
        self.routing_keys.push(message.routing_key);
        self.event_types.push(message.event_type);
        self.subjects.push(message.subject);
        self.payloads.push(message.payload);
        self.traceparents.push(message.traceparent);
    }
}
