//! Events that were applied (`sync.inbox`).

use latchkey_domain::{EventId, UserId, WorkspaceId};
use sqlx::PgConnection;

use super::member;

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

/// [`record_first_delivery`] for a sign-in. If it was not applied before, takes the shared lock of
/// the person in the workspace until the transaction ends: it excludes a removal
/// ([`member::insert_removal`]), but not other sign-ins. `RETURNING` is evaluated after the row was
/// written, so the locks are taken in their order. What the lock protects has to be read by a
/// later statement: this one does not see a removal that it waited for.
pub async fn record_first_delivery_of_sign_in(
    connection: &mut PgConnection,
    event: EventId,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO sync.inbox (event_id, consumer)
         VALUES ($1, 'connect')
         ON CONFLICT (event_id) DO NOTHING
         RETURNING pg_advisory_xact_lock_shared(hashtextextended($2, 0))",
    )
    .bind(event.as_uuid())
    .bind(member::lock_key(workspace, user))
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
