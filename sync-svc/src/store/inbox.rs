//! Events that were applied.

use latchkey_domain::EventId;
use sqlx::{PgConnection, PgPool};

/// True where the event was not applied before. A delivery of the same event
/// that is being applied is waited for.
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

/// Forgets events of more than 14 days ago, at most 10,000 at once. One that
/// still came again would meet the unique keys and the newer grant.
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
