//! Events that were applied (`sync.inbox`).

use latchkey_domain::EventId;
use sqlx::{PgConnection, PgPool};

/// Records an event. Returns `true` if it was not applied before. Waits for a delivery
/// of the same event that is being applied.
pub async fn record_first_delivery(
    connection: &mut PgConnection,
    event: EventId,
    consumer: &str,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO sync.inbox (event_id, consumer)
         VALUES ($1, $2)
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(event.as_uuid())
    .bind(consumer)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Deletes events that are older than 14 days, at most 10,000. If one is delivered once
/// more, the unique keys and the merge of grants make it have no effect.
pub async fn delete_old(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM sync.inbox WHERE event_id IN (
             SELECT event_id FROM sync.inbox
             WHERE received_at < now() - interval '14 days'
             LIMIT 10000)",
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
