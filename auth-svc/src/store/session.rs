//! Browser sessions: an opaque secret in a cookie, its SHA-256 here.

pub mod code;
pub mod list;
pub mod refresh;

use std::time::Duration;

use latchkey_domain::{SessionId, UserId, WorkspaceId};
use sqlx::{FromRow, PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::store::issue::IssueError;

/// A living session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Workspace that it is in.
    pub workspace: WorkspaceId,
    /// First label of the workspace's host under the app's.
    pub subdomain: Option<String>,
    /// The workspace's own host.
    pub custom_domain: Option<String>,
    /// The workspace's name.
    pub workspace_name: String,
    /// The person's address: a label.
    pub email: String,
    /// The person's name.
    pub display_name: String,
    /// Whether the person administers the workspace.
    pub is_admin: bool,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    workspace_id: Uuid,
    subdomain: Option<String>,
    custom_domain: Option<String>,
    workspace_name: String,
    email: String,
    display_name: String,
    is_admin: bool,
    expires_at: OffsetDateTime,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            user: row.user_id.into(),
            workspace: row.workspace_id.into(),
            subdomain: row.subdomain,
            custom_domain: row.custom_domain,
            workspace_name: row.workspace_name,
            email: row.email,
            display_name: row.display_name,
            is_admin: row.is_admin,
            expires_at: row.expires_at,
        }
    }
}

/// A session that has not ended, of a person who still belongs to its workspace.
macro_rules! living_session {
    ($condition:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.workspace_id, w.subdomain, w.custom_domain,
                    w.name AS workspace_name, u.email, u.display_name,
                    m.role = 'ADMIN' AS is_admin, s.expires_at
             FROM auth.session s
             JOIN auth.app_user u ON u.id = s.user_id
             JOIN auth.workspace w ON w.id = s.workspace_id
             JOIN auth.workspace_member m
               ON m.workspace_id = s.workspace_id AND m.user_id = s.user_id
             WHERE s.revoked_at IS NULL AND s.expires_at > now() AND ",
            $condition
        )
    };
}

/// The living session with this secret, used lately enough.
///
/// # Errors
/// The database's refusal.
pub async fn find(
    executor: impl PgExecutor<'_>,
    secret: &str,
) -> Result<Option<Session>, sqlx::Error> {
    // Index: session_secret_hash_key.
    let row: Option<Row> = sqlx::query_as(living_session!(
        "s.secret_hash = $1 AND s.last_seen_at > now() - s.idle_for"
    ))
    .bind(sha256(secret))
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Into::into))
}

/// The living session with this id, of which an access or refresh token told:
/// these have an expiry of their own, so idleness does not count.
///
/// # Errors
/// The database's refusal.
pub async fn find_by_id(
    executor: impl PgExecutor<'_>,
    id: SessionId,
) -> Result<Option<Session>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(living_session!("s.id = $1"))
        .bind(id.as_uuid())
        .fetch_optional(executor)
        .await?;
    Ok(row.map(Into::into))
}

/// Notes that the session is used, to the minute: not a write per request.
///
/// # Errors
/// The database's refusal.
pub async fn touch(executor: impl PgExecutor<'_>, id: SessionId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE auth.session SET last_seen_at = now()
         WHERE id = $1 AND last_seen_at < now() - interval '1 minute'",
    )
    .bind(id.as_uuid())
    .execute(executor)
    .await?;
    Ok(())
}

/// The secret of a session cookie: the database has only its SHA-256.
pub struct SessionSecret(pub String);

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret([redacted])")
    }
}

/// A session to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// Whose it is.
    pub user: UserId,
    /// Workspace that it is in.
    pub workspace: WorkspaceId,
    /// It ends after this.
    pub lifetime: Duration,
    /// Its cookie ends after this without use.
    pub idle: Duration,
    /// "Firefox on Linux".
    pub user_agent: Option<&'a str>,
}

/// A session that began.
#[derive(Debug)]
pub struct Begun {
    /// Its id.
    pub id: SessionId,
    /// Secret of its cookie.
    pub secret: SessionSecret,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Begins a session: a new id and a new secret at every sign-in.
///
/// # Errors
/// The database's refusal, no randomness.
pub async fn begin(
    connection: &mut PgConnection,
    new: &NewSession<'_>,
    randomness: &Randomness,
) -> Result<Begun, IssueError> {
    let id = SessionId::generate();
    let secret = SessionSecret(randomness.token()?);
    let (expires_at,) = sqlx::query_as(
        "INSERT INTO auth.session
             (id, secret_hash, user_id, workspace_id, expires_at, idle_for, user_agent)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5),
                 make_interval(secs => $6), $7)
         RETURNING expires_at",
    )
    .bind(id.as_uuid())
    .bind(sha256(&secret.0))
    .bind(new.user.as_uuid())
    .bind(new.workspace.as_uuid())
    .bind(new.lifetime.as_secs_f64())
    .bind(new.idle.as_secs_f64())
    .bind(new.user_agent)
    .fetch_one(connection)
    .await?;
    Ok(Begun {
        id,
        secret,
        expires_at,
    })
}

/// Ends the session with this secret: another one takes its place.
///
/// # Errors
/// The database's refusal.
pub async fn replace(executor: impl PgExecutor<'_>, secret: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE auth.session SET revoked_at = now(), end_reason = 'REPLACED'
         WHERE secret_hash = $1 AND revoked_at IS NULL",
    )
    .bind(sha256(secret))
    .execute(executor)
    .await?;
    Ok(())
}
