//! Sessions that a provider ends (OpenID Connect Back-Channel Logout 1.0).

use latchkey_domain::{ProviderName, ProviderSessionId, SessionId, Subject, UserId, WorkspaceId};
use latchkey_providers::{LoggedOut, LogoutToken};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

/// A session that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The session.
    pub session: SessionId,
    /// Its person.
    pub user: UserId,
    /// Its workspace.
    pub workspace: WorkspaceId,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    workspace_id: Uuid,
}

impl From<Row> for Ended {
    fn from(row: Row) -> Self {
        Self {
            session: row.id.into(),
            user: row.user_id.into(),
            workspace: row.workspace_id.into(),
        }
    }
}

/// Notes a logout token. Returns `false` if it was noted before. A sign-in with the same session at
/// the provider waits for this transaction, and this one for it.
///
/// # Errors
/// Returns the database's error.
pub async fn note_token(
    connection: &mut PgConnection,
    provider: &ProviderName,
    token: &LogoutToken,
) -> Result<bool, sqlx::Error> {
    let session = match &token.logged_out {
        LoggedOut::Session { session, .. } => Some(session),
        LoggedOut::Subject(_) => None,
    };
    if let Some(session) = session {
        lock(&mut *connection, provider, session).await?;
    }
    let noted = sqlx::query(
        "INSERT INTO auth.logout_token (provider, issuer, token_id, provider_session, expires_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(provider.as_str())
    .bind(token.issuer.as_str())
    .bind(&token.id)
    .bind(session.map(ProviderSessionId::as_str))
    .bind(token.expires_at)
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Locks a session at a provider until the end of the transaction.
///
/// # Errors
/// Returns the database's error.
pub async fn lock(
    connection: &mut PgConnection,
    provider: &ProviderName,
    session: &ProviderSessionId,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))")
        .bind(format!("{provider}\n{session}"))
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends the sessions that a logout token names, in every workspace.
///
/// # Errors
/// Returns the database's error.
pub async fn end(
    connection: &mut PgConnection,
    provider: &ProviderName,
    token: &LogoutToken,
) -> Result<Vec<Ended>, sqlx::Error> {
    let rows = match &token.logged_out {
        LoggedOut::Subject(subject) => {
            end_of_subject(connection, provider, token, subject, Which::All).await?
        }
        LoggedOut::Session { session, subject } => {
            let mut rows = end_of_session(&mut *connection, provider, token, session).await?;
            if let Some(subject) = subject {
                let which = Which::WithoutProviderSession;
                rows.extend(end_of_subject(connection, provider, token, subject, which).await?);
            }
            rows
        }
    };
    Ok(rows.into_iter().map(Ended::from).collect())
}

/// Ends the sessions that began in this session at the provider.
async fn end_of_session(
    connection: &mut PgConnection,
    provider: &ProviderName,
    token: &LogoutToken,
    session: &ProviderSessionId,
) -> Result<Vec<Row>, sqlx::Error> {
    // Index: session_provider_session.
    sqlx::query_as(
        "UPDATE auth.session SET revoked_at = now(), end_reason = 'PROVIDER_LOGOUT'
         WHERE provider_session = $3 AND provider = $1 AND issuer = $2
           AND revoked_at IS NULL
         RETURNING id, user_id, workspace_id",
    )
    .bind(provider.as_str())
    .bind(token.issuer.as_str())
    .bind(session.as_str())
    .fetch_all(connection)
    .await
}

/// Which sessions of a person end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// All of this provider.
    All,
    /// Those of which it is not known in which session at the provider they began: they began before
    /// this was stored, or the ID token did not say it.
    WithoutProviderSession,
}

/// Ends sessions of a person. Those that began before they knew their provider end too.
async fn end_of_subject(
    connection: &mut PgConnection,
    provider: &ProviderName,
    token: &LogoutToken,
    subject: &Subject,
    which: Which,
) -> Result<Vec<Row>, sqlx::Error> {
    // Indexes: identity_provider_issuer_subject_key, session_user_id.
    sqlx::query_as(
        "UPDATE auth.session s SET revoked_at = now(), end_reason = 'PROVIDER_LOGOUT'
         FROM auth.identity i
         WHERE i.provider = $1 AND i.issuer = $2 AND i.subject = $3
           AND s.user_id = i.user_id AND s.revoked_at IS NULL
           AND (s.provider IS NULL OR (s.provider = $1 AND s.issuer = $2))
           AND ($4 OR s.provider_session IS NULL)
         RETURNING s.id, s.user_id, s.workspace_id",
    )
    .bind(provider.as_str())
    .bind(token.issuer.as_str())
    .bind(subject.as_str())
    .bind(which == Which::All)
    .fetch_all(connection)
    .await
}
