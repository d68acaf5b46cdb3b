//! Invitations: the public link and personal invitations.

use std::time::Duration;

use latchkey_domain::{Handle, WorkspaceId};
use sqlx::{FromRow, PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::store::IssueError;

/// A personal invitation in a list, without its token.
#[derive(Debug, Clone, FromRow)]
pub struct Invited {
    /// Id, which names the invitation when it is revoked.
    pub id: Uuid,
    /// Address of the invited person.
    pub email: String,
    /// When the invitation expires.
    pub expires_at: OffsetDateTime,
    /// PENDING, USED, REVOKED or EXPIRED.
    pub status: String,
}

/// A new personal invitation. `Debug` does not print the token.
#[derive(Clone)]
pub struct Made {
    /// Id, which names the invitation when it is revoked.
    pub id: Uuid,
    /// The token, which cannot be read again.
    pub token: String,
    /// When the invitation expires.
    pub expires_at: OffsetDateTime,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Creates a personal invitation for one address. The token in the result cannot be read
/// again.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn invite(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    email: &Handle,
    lifetime: Duration,
    randomness: &Randomness,
) -> Result<Made, IssueError> {
    let token = randomness.token()?;
    let (id, expires_at) = sqlx::query_as(
        "INSERT INTO auth.personal_invite (token_hash, workspace_id, email, expires_at)
         VALUES ($1, $2, $3, now() + make_interval(secs => $4))
         RETURNING id, expires_at",
    )
    .bind(sha256(&token))
    .bind(workspace.as_uuid())
    .bind(email.as_str())
    .bind(lifetime.as_secs_f64())
    .fetch_one(executor)
    .await?;
    Ok(Made {
        id,
        token,
        expires_at,
    })
}

/// Returns the workspace's invitations, the newest first, at most 1000.
///
/// # Errors
/// Returns the database's error.
pub async fn invitations(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
) -> Result<Vec<Invited>, sqlx::Error> {
    // Index: personal_invite_workspace_id.
    sqlx::query_as(
        "SELECT id, email, expires_at,
                CASE WHEN used_at IS NOT NULL THEN 'USED'
                     WHEN revoked_at IS NOT NULL THEN 'REVOKED'
                     WHEN expires_at <= now() THEN 'EXPIRED'
                     ELSE 'PENDING' END AS status
         FROM auth.personal_invite WHERE workspace_id = $1
         ORDER BY created_at DESC, id LIMIT 1000",
    )
    .bind(workspace.as_uuid())
    .fetch_all(executor)
    .await
}

/// Revokes an invitation of this workspace. Returns `false` if it was used or does not
/// exist.
///
/// # Errors
/// Returns the database's error.
pub async fn revoke(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE auth.personal_invite SET revoked_at = coalesce(revoked_at, now())
         WHERE id = $1 AND workspace_id = $2 AND used_at IS NULL",
    )
    .bind(id)
    .bind(workspace.as_uuid())
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Enables the public link with a new token, which cannot be read again, or disables the
/// link. A replaced or disabled link never works again.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn set_public_invite(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    on: bool,
    randomness: &Randomness,
) -> Result<Option<String>, IssueError> {
    let token = if on { Some(randomness.token()?) } else { None };
    sqlx::query(
        "UPDATE auth.workspace
         SET public_invite_enabled = $2, public_invite_hash = coalesce($3, public_invite_hash)
         WHERE id = $1",
    )
    .bind(workspace.as_uuid())
    .bind(on)
    .bind(token.as_deref().map(sha256))
    .execute(executor)
    .await?;
    Ok(token)
}

/// Enables the public link with a new token, which cannot be read again. Returns `None` and
/// changes nothing if the link is enabled already.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn turn_public_invite_on(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    randomness: &Randomness,
) -> Result<Option<String>, IssueError> {
    let token = randomness.token()?;
    let done = sqlx::query(
        "UPDATE auth.workspace SET public_invite_enabled = true, public_invite_hash = $2
         WHERE id = $1 AND NOT public_invite_enabled",
    )
    .bind(workspace.as_uuid())
    .bind(sha256(&token))
    .execute(executor)
    .await?;
    Ok((done.rows_affected() == 1).then_some(token))
}

/// Replaces the token of the public link. Returns `None` if the link is disabled.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn rotate_public_invite(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    randomness: &Randomness,
) -> Result<Option<String>, IssueError> {
    let token = randomness.token()?;
    let done = sqlx::query(
        "UPDATE auth.workspace SET public_invite_hash = $2
         WHERE id = $1 AND public_invite_enabled",
    )
    .bind(workspace.as_uuid())
    .bind(sha256(&token))
    .execute(executor)
    .await?;
    Ok((done.rows_affected() == 1).then_some(token))
}

/// A personal invitation, found by its token.
#[derive(Debug, FromRow)]
pub struct PersonalInvite {
    /// Workspace of the invitation.
    pub workspace_id: Uuid,
    /// Address of the invited person.
    pub email: String,
    /// Whether it was used.
    pub used: bool,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether it has expired.
    pub expired: bool,
}

/// Returns the personal invitation with this token.
///
/// # Errors
/// Returns the database's error.
pub async fn find_personal(
    executor: impl PgExecutor<'_>,
    token: &str,
) -> Result<Option<PersonalInvite>, sqlx::Error> {
    sqlx::query_as(
        "SELECT workspace_id, lower(email) AS email, used_at IS NOT NULL AS used,
                revoked_at IS NOT NULL AS revoked, expires_at <= now() AS expired
         FROM auth.personal_invite WHERE token_hash = $1",
    )
    .bind(sha256(token))
    .fetch_optional(executor)
    .await
}

/// Returns the personal invitation with this token and locks it until the end of the
/// transaction, so that two people cannot use it at the same time.
///
/// # Errors
/// Returns the database's error.
pub async fn lock_personal(
    connection: &mut PgConnection,
    token: &str,
) -> Result<Option<PersonalInvite>, sqlx::Error> {
    sqlx::query_as(
        "SELECT workspace_id, email, used_at IS NOT NULL AS used,
                revoked_at IS NOT NULL AS revoked, expires_at <= now() AS expired
         FROM auth.personal_invite WHERE token_hash = $1 FOR UPDATE",
    )
    .bind(sha256(token))
    .fetch_optional(connection)
    .await
}

/// Marks a personal invitation as used.
///
/// # Errors
/// Returns the database's error.
pub async fn use_personal(
    connection: &mut PgConnection,
    token: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE auth.personal_invite SET used_at = now() WHERE token_hash = $1")
        .bind(token.map(sha256))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns `true` if the public link of the workspace is enabled.
///
/// # Errors
/// Returns the database's error.
pub async fn is_public_on(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT public_invite_enabled FROM auth.workspace WHERE id = $1")
        .bind(workspace.as_uuid())
        .fetch_one(connection)
        .await
}
