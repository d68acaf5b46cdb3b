//! Browser sessions: an opaque secret in a cookie, its SHA-256 here.

use std::time::Duration;

use latchkey_domain::{SessionId, UserId, WorkspaceId};
use sqlx::{FromRow, PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::store::{SessionSecret, StoreError};

/// A living session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Workspace that it is in.
    pub workspace: WorkspaceId,
    /// First label of the workspace's own host.
    pub subdomain: Option<String>,
    /// The workspace's name.
    pub workspace_name: String,
    /// The person's address: a label.
    pub email: String,
    /// The person's name.
    pub display_name: String,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    workspace_id: Uuid,
    subdomain: Option<String>,
    workspace_name: String,
    email: String,
    display_name: String,
    expires_at: OffsetDateTime,
}

/// The living session with this secret, of a person who still belongs to its
/// workspace.
///
/// # Errors
/// The database's refusal.
pub async fn find(
    executor: impl PgExecutor<'_>,
    secret: &str,
) -> Result<Option<Session>, sqlx::Error> {
    // Index: session_secret_hash_key.
    let row: Option<Row> = sqlx::query_as(
        "SELECT s.id, s.user_id, s.workspace_id, w.subdomain, w.name AS workspace_name,
                u.email, u.display_name, s.expires_at
         FROM auth.session s
         JOIN auth.app_user u ON u.id = s.user_id
         JOIN auth.workspace w ON w.id = s.workspace_id
         JOIN auth.workspace_member m
              ON m.workspace_id = s.workspace_id AND m.user_id = s.user_id
         WHERE s.secret_hash = $1 AND s.revoked_at IS NULL AND s.expires_at > now()",
    )
    .bind(sha256(secret))
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Session {
        id: row.id.into(),
        user: row.user_id.into(),
        workspace: row.workspace_id.into(),
        subdomain: row.subdomain,
        workspace_name: row.workspace_name,
        email: row.email,
        display_name: row.display_name,
        expires_at: row.expires_at,
    }))
}

/// Begins a session: a new id and a new secret at every sign-in.
///
/// # Errors
/// The database's refusal, no randomness.
pub async fn begin(
    connection: &mut PgConnection,
    user: UserId,
    workspace: WorkspaceId,
    lifetime: Duration,
    randomness: &Randomness,
) -> Result<(SessionId, SessionSecret), StoreError> {
    let id = SessionId::generate();
    let secret = SessionSecret(randomness.token()?);
    sqlx::query(
        "INSERT INTO auth.session (id, secret_hash, user_id, workspace_id, expires_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))",
    )
    .bind(id.as_uuid())
    .bind(sha256(&secret.0))
    .bind(user.as_uuid())
    .bind(workspace.as_uuid())
    .bind(lifetime.as_secs_f64())
    .execute(connection)
    .await?;
    Ok((id, secret))
}

/// Ends the session with this secret.
///
/// # Errors
/// The database's refusal.
pub async fn end(executor: impl PgExecutor<'_>, secret: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE auth.session SET revoked_at = now()
         WHERE secret_hash = $1 AND revoked_at IS NULL",
    )
    .bind(sha256(secret))
    .execute(executor)
    .await?;
    Ok(())
}
