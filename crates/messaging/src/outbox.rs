//! The transactional outbox: a message is a row that is written in the transaction of the change
//! that it is about.

mod message;
mod relay;
mod schema;

pub use crate::event::Event;
pub use message::Message;
pub use relay::Relay;
pub use schema::Schema;

use schema::per_schema;
use sqlx::PgConnection;

/// Writes a message into the outbox. `connection` is that of the transaction of the change; the
/// relay publishes after the commit. A message whose id is still in the outbox is not written
/// again.
///
/// # Errors
/// The database refuses.
pub async fn enqueue(
    connection: &mut PgConnection,
    schema: Schema,
    message: Message,
) -> Result<(), sqlx::Error> {
    sqlx::query(per_schema!(
        schema,
        "INSERT INTO ",
        ".outbox
             (event_id, exchange, routing_key, event_type, subject, payload, traceparent)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (event_id) DO NOTHING"
    ))
    .bind(message.event_id.as_uuid())
    .bind(message.exchange)
    .bind(message.routing_key)
    .bind(message.event_type)
    .bind(message.subject)
    .bind(message.payload)
    .bind(message.traceparent)
    .execute(connection)
    .await?;
    Ok(())
}
