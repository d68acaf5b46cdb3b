//! The end of a person's sessions in a workspace that they leave.

use latchkey_domain::{UserId, WorkspaceId};
use sqlx::PgConnection;

/// Ends the sessions of the person in this workspace, with their refresh tokens and
/// hand-over codes, and returns their number.
///
/// # Errors
/// Returns the database's error.
pub async fn end_all(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "UPDATE auth.refresh_family f SET ended_at = now(), end_reason = 'MEMBER_REMOVED'
         FROM auth.session s
         WHERE f.session_id = s.id AND f.ended_at IS NULL
           AND s.user_id = $2 AND s.workspace_id = $1",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE auth.handover_code c SET used_at = now()
         FROM auth.session s
         WHERE c.session_id = s.id AND c.used_at IS NULL
           AND s.user_id = $2 AND s.workspace_id = $1",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .execute(&mut *connection)
    .await?;
    let ended = sqlx::query(
        "UPDATE auth.session SET revoked_at = now(), end_reason = 'MEMBER_REMOVED'
         WHERE user_id = $2 AND workspace_id = $1 AND revoked_at IS NULL",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .execute(connection)
    .await?;
    Ok(ended.rows_affected())
}
