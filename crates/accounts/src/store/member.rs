//! Members who were removed from a workspace (`sync.removed_member`), and the disconnect
//! of their accounts (`vault.disconnect_request`).

use latchkey_domain::{AccountId, UserId, WorkspaceId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Stores that the person was removed. Takes the exclusive lock, and so waits for
/// sign-ins of the person that are being applied.
pub async fn insert_removal(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: UserId,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(lock_key(workspace, user))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO sync.removed_member AS r (workspace_id, user_id, removed_at)
         VALUES ($1, $2, $3)
         ON CONFLICT (workspace_id, user_id) DO UPDATE
         SET removed_at = greatest(r.removed_at, excluded.removed_at)",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Requests refresh-svc to disconnect the accounts of the person in the workspace whose
/// grant is not later than `at`. Returns the accounts.
pub async fn request_disconnects(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: UserId,
    at: OffsetDateTime,
) -> Result<Vec<AccountId>, sqlx::Error> {
    let accounts: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO vault.disconnect_request AS d (account_id, not_after)
         SELECT a.id, $3
         FROM sync.connected_account a JOIN vault.credential c ON c.account_id = a.id
         WHERE a.workspace_id = $1 AND a.user_id = $2
           AND c.erased_at IS NULL AND c.authenticated_at <= $3
         ON CONFLICT (account_id) DO UPDATE
         SET not_after = greatest(d.not_after, excluded.not_after), next_try_at = now()
         RETURNING account_id",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .bind(at)
    .fetch_all(connection)
    .await?;
    Ok(accounts.into_iter().map(AccountId::from).collect())
}

/// The key of the lock of a person in a workspace.
pub(super) fn lock_key(workspace: WorkspaceId, user: UserId) -> String {
    format!("member {workspace} {user}")
}
