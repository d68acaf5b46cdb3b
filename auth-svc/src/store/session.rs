//! Browser sessions. The cookie has an opaque secret; the database has its SHA-256.

pub mod code;
pub mod id_token_hint;
pub mod list;
pub mod logout;
pub mod refresh;

use std::time::Duration;

use latchkey_domain::{Issuer, ProviderName, ProviderSessionId, SessionId, UserId, WorkspaceId};
use latchkey_providers::AuthenticationContext;
use sqlx::{FromRow, PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::secret::SessionSecret;
use crate::store::IssueError;
use crate::store::audit::{Actor, Channel};

/// A session that has not ended.
#[derive(Debug, Clone)]
pub struct Session {
    /// Id of the session.
    pub id: SessionId,
    /// The person who signed in.
    pub user: UserId,
    /// Workspace of the session.
    pub workspace: WorkspaceId,
    /// First label of the workspace's host under the app's host.
    pub subdomain: Option<String>,
    /// Custom host of the workspace.
    pub custom_domain: Option<String>,
    /// Name of the workspace.
    pub workspace_name: String,
    /// E-mail address of the person: a label, not an identifier.
    pub email: String,
    /// Name of the person.
    pub display_name: String,
    /// Whether the person is an administrator of the workspace.
    pub is_admin: bool,
    /// When the session ends.
    pub expires_at: OffsetDateTime,
    /// How and when the person authenticated at the provider.
    pub authentication: AuthenticationContext,
}

impl Session {
    /// Returns the administrator whose session this is, for the audit of their changes.
    pub const fn actor(&self, channel: Channel) -> Actor {
        Actor::Administrator {
            user: self.user,
            session: self.id,
            channel,
        }
    }
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
    acr: Option<String>,
    authenticated_at: Option<OffsetDateTime>,
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
            authentication: AuthenticationContext {
                acr: row.acr,
                time: row.authenticated_at,
            },
        }
    }
}

/// Selects sessions that have not ended, of people who are still members of the workspace.
macro_rules! living_session {
    ($condition:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.workspace_id, w.subdomain, w.custom_domain,
                    w.name AS workspace_name, u.email, u.display_name,
                    m.role = 'ADMIN' AS is_admin, s.expires_at, s.acr, s.authenticated_at
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

/// Returns the session with this secret if it has not ended and is not idle for too long.
///
/// # Errors
/// Returns the database's error.
pub async fn find(
    executor: impl PgExecutor<'_>,
    secret: &SessionSecret,
) -> Result<Option<Session>, sqlx::Error> {
    // Index: session_secret_hash_key.
    let row: Option<Row> = sqlx::query_as(living_session!(
        "s.secret_hash = $1 AND s.last_seen_at > now() - s.idle_for"
    ))
    .bind(sha256(secret.expose()))
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Into::into))
}

/// Returns the session with this id if it has not ended. It is for sessions that an access
/// or refresh token names: these tokens have an expiry of their own, so idleness does not
/// matter.
///
/// # Errors
/// Returns the database's error.
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

/// Records that the session is used, at most once a minute, so that not every request
/// writes.
///
/// # Errors
/// Returns the database's error.
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

/// The data of a new session.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// The person who signs in.
    pub user: UserId,
    /// Workspace of the session.
    pub workspace: WorkspaceId,
    /// The session ends after this time.
    pub lifetime: Duration,
    /// The session ends if it is not used for this time.
    pub idle: Duration,
    /// Browser and system, such as "Firefox on Linux".
    pub user_agent: Option<&'a str>,
    /// The provider that the person signed in with.
    pub provider: &'a ProviderName,
    /// Its issuer.
    pub issuer: &'a Issuer,
    /// The session there.
    pub provider_session: Option<&'a ProviderSessionId>,
    /// How and when the person authenticated there.
    pub authentication: &'a AuthenticationContext,
}

/// A new session.
#[derive(Debug)]
pub struct Begun {
    /// Id of the session.
    pub id: SessionId,
    /// Secret for the session cookie.
    pub secret: SessionSecret,
    /// When the session ends.
    pub expires_at: OffsetDateTime,
}

/// Creates a session with a new id and a new secret. Returns `None` if the session at the provider has
/// ended meanwhile.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn begin(
    connection: &mut PgConnection,
    new: &NewSession<'_>,
    randomness: &Randomness,
) -> Result<Option<Begun>, IssueError> {
    let id = SessionId::generate();
    let secret = SessionSecret::generate(randomness)?;
    let expires_at: Option<OffsetDateTime> = sqlx::query_scalar(
        "INSERT INTO auth.session
             (id, secret_hash, user_id, workspace_id, expires_at, idle_for, user_agent,
              provider, issuer, provider_session, acr, authenticated_at)
         SELECT $1, $2, $3, $4, now() + make_interval(secs => $5),
                make_interval(secs => $6), $7, $8, $9, $10, $11, $12
         WHERE NOT EXISTS (SELECT FROM auth.logout_token
                           WHERE provider_session = $10 AND provider = $8 AND issuer = $9)
         RETURNING expires_at",
    )
    .bind(id.as_uuid())
    .bind(sha256(secret.expose()))
    .bind(new.user.as_uuid())
    .bind(new.workspace.as_uuid())
    .bind(new.lifetime.as_secs_f64())
    .bind(new.idle.as_secs_f64())
    .bind(new.user_agent)
    .bind(new.provider.as_str())
    .bind(new.issuer.as_str())
    .bind(new.provider_session.map(ProviderSessionId::as_str))
    .bind(new.authentication.acr.as_deref())
    .bind(new.authentication.time)
    .fetch_optional(connection)
    .await?;
    Ok(expires_at.map(|expires_at| Begun {
        id,
        secret,
        expires_at,
    }))
}

/// Ends the session with this secret because another session replaces it.
///
/// # Errors
/// Returns the database's error.
pub async fn replace(
    executor: impl PgExecutor<'_>,
    secret: &SessionSecret,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE auth.session SET revoked_at = now(), end_reason = 'REPLACED'
         WHERE secret_hash = $1 AND revoked_at IS NULL",
    )
    .bind(sha256(secret.expose()))
    .execute(executor)
    .await?;
    Ok(())
}
