//! The transactional outbox: a message is a row, written in the transaction of
//! the fact that it tells of.

mod message;
mod relay;

pub use message::{Event, Message};
pub use relay::Relay;

use sqlx::PgConnection;

/// Whose outbox: one table per service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// auth-svc: `auth.outbox`.
    Auth,
    /// sync-svc: `sync.outbox`.
    Sync,
    /// refresh-svc: `vault.outbox`.
    Vault,
}

macro_rules! per_schema {
    ($schema:expr, $before:literal, $after:literal) => {
        match $schema {
            $crate::outbox::Schema::Auth => concat!($before, "auth", $after),
            $crate::outbox::Schema::Sync => concat!($before, "sync", $after),
            $crate::outbox::Schema::Vault => concat!($before, "vault", $after),
        }
    };
}
pub(crate) use per_schema;

/// Writes a message into the outbox. Call it with the connection of the
/// transaction that the message tells of; the relay publishes after the commit.
/// A message whose id is still in the outbox is not written again.
///
/// # Errors
/// The database's refusal.
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
