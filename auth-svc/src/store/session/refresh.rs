//! Refresh tokens and their rotation in families (RFC 9700 section 4.14.2). Each token is
//! used once; the reuse of a token ends its family.
//!
//! Two tabs may use the same token at the same moment. The next token is therefore derived
//! from the used token and a salt: within a short grace period, and as long as the next
//! token is unused, the second tab gets the *same* next token and the family does not fork.
//! A thief who uses a stolen token within the grace period has the same next token as the
//! owner: its next use by either of them ends the family for both.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_domain::SessionId;
use latchkey_service::database::BoundedConnection;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::{Randomness, RandomnessError, sha256};
use crate::store::IssueError;
use crate::store::session::{self, Session};

/// Tabs that use the same refresh token within this time get the same next token.
pub const REUSE_GRACE: Duration = Duration::from_secs(10);

/// A refresh token that was issued.
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// When it expires.
    pub expires_at: OffsetDateTime,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Where the tokens of a family are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// In a cookie that scripts cannot read.
    Cookie,
    /// In a script of a front end (R9).
    Script,
}

impl Holder {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "COOKIE",
            Self::Script => "SCRIPT",
        }
    }
}

/// Why a refresh token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The token is unknown or expired, or belongs to another front end.
    #[error("the refresh token is unknown or expired, or belongs to another front end")]
    Invalid,
    /// The token was used before. Its family has ended now.
    #[error("the refresh token was used before; its family has ended")]
    Reused,
    /// The random number generator failed.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The database failed or is not reachable.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// The result of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The session.
    pub session: Session,
    /// The next refresh token.
    pub next: IssuedToken,
}

/// Maximum number of unused token families of scripts for one session. Each start by a
/// signed-in person creates a family, and any site can make a browser start.
const UNUSED: i64 = 20;

/// Creates a family and returns its id and its first token. Of the unused families of
/// scripts, only the newest `UNUSED` of the session are kept.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn begin(
    connection: &mut PgConnection,
    session: SessionId,
    holder: Holder,
    origin: Option<&str>,
    lifetime: Duration,
    randomness: &Randomness,
) -> Result<(Uuid, IssuedToken), IssueError> {
    if holder == Holder::Script {
        forget_unused(connection, session).await?;
    }
    let family = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO auth.refresh_family (id, session_id, held_by, origin)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(family)
    .bind(session.as_uuid())
    .bind(holder.as_str())
    .bind(origin)
    .execute(&mut *connection)
    .await?;
    let token = randomness.token()?;
    let expires_at = insert(connection, &token, family, lifetime).await?;
    Ok((family, IssuedToken { token, expires_at }))
}

/// Deletes the oldest unused families of the session, so that there is room for one more.
async fn forget_unused(
    connection: &mut PgConnection,
    session: SessionId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM auth.refresh_family WHERE id IN (
             SELECT f.id FROM auth.refresh_family f
             WHERE f.session_id = $1 AND f.held_by = 'SCRIPT'
               -- What was spent longer ago may be deleted already.
               AND f.created_at > now() - interval '30 days'
               AND NOT EXISTS (SELECT FROM auth.refresh_token t
                               WHERE t.family_id = f.id AND t.spent_at IS NOT NULL)
             ORDER BY f.created_at DESC, f.id DESC
             OFFSET $2 LIMIT 100
             FOR UPDATE SKIP LOCKED)",
    )
    .bind(session.as_uuid())
    .bind(UNUSED - 1)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a token. It expires with its session at the latest.
async fn insert(
    connection: &mut PgConnection,
    token: &str,
    family: Uuid,
    lifetime: Duration,
) -> Result<OffsetDateTime, sqlx::Error> {
    let (expires_at,) = sqlx::query_as(
        "INSERT INTO auth.refresh_token (token_hash, family_id, expires_at)
         SELECT $1, f.id, least(now() + make_interval(secs => $3), s.expires_at)
         FROM auth.refresh_family f JOIN auth.session s ON s.id = f.session_id
         WHERE f.id = $2
         RETURNING expires_at",
    )
    .bind(sha256(token))
    .bind(family)
    .bind(lifetime.as_secs_f64())
    .fetch_one(connection)
    .await?;
    Ok(expires_at)
}

#[derive(FromRow)]
struct Family {
    id: Uuid,
    session_id: Uuid,
    held_by: String,
    origin: Option<String>,
    ended: bool,
}

#[derive(FromRow)]
struct Presented {
    spent: bool,
    alive: bool,
    in_grace: bool,
    next_salt: Option<Vec<u8>>,
    next_expires_at: Option<OffsetDateTime>,
}

/// Rotates a token: marks it as used and returns the next one. `serves` says whether the
/// calling page may act for the session's workspace; if not, nothing is written.
///
/// # Errors
/// See [`RefreshError`].
pub async fn rotate(
    pool: &PgPool,
    token: &str,
    holder: Holder,
    origin: Option<&str>,
    serves: impl Fn(&Session) -> bool,
    lifetime: Duration,
    randomness: &Randomness,
) -> Result<Rotated, RefreshError> {
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let family = lock_family(&mut transaction, token)
        .await?
        .ok_or(RefreshError::Invalid)?;
    let foreign = match (&family.origin, origin) {
        (Some(bound), Some(here)) => bound != here,
        _ => false,
    };
    if family.ended || foreign || family.held_by != holder.as_str() {
        return Err(RefreshError::Invalid);
    }
    let presented = read(&mut transaction, token).await?;
    if presented.spent {
        let (Some(salt), Some(expires_at), true) = (
            &presented.next_salt,
            presented.next_expires_at,
            presented.in_grace,
        ) else {
            end(&mut *transaction, family.id, "REUSED").await?;
            transaction.commit().await?;
            return Err(RefreshError::Reused);
        };
        let session = living(&mut transaction, &family, &serves).await?;
        let token = next_of(token, salt);
        return Ok(Rotated {
            session,
            next: IssuedToken { token, expires_at },
        });
    }
    if !presented.alive {
        return Err(RefreshError::Invalid);
    }
    let session = living(&mut transaction, &family, &serves).await?;
    let salt = randomness.bytes::<32>()?;
    let next = next_of(token, &salt);
    let expires_at = insert(&mut transaction, &next, family.id, lifetime).await?;
    spend(&mut transaction, token, &salt, &next).await?;
    session::touch(&mut *transaction, session.id).await?;
    transaction.commit().await?;
    Ok(Rotated {
        session,
        next: IssuedToken {
            token: next,
            expires_at,
        },
    })
}

/// Derives the next token. Only the holder of the used token can derive it again.
fn next_of(token: &str, salt: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, salt))
}

/// Locks the token's family, so that only one of its tokens is processed at a time.
async fn lock_family(
    connection: &mut PgConnection,
    token: &str,
) -> Result<Option<Family>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, session_id, held_by, origin, ended_at IS NOT NULL AS ended
         FROM auth.refresh_family
         WHERE id = (SELECT family_id FROM auth.refresh_token WHERE token_hash = $1)
         FOR UPDATE",
    )
    .bind(sha256(token))
    .fetch_optional(connection)
    .await
}

/// Reads the token by the current time, not by the transaction's start, because the
/// transaction may have waited.
async fn read(connection: &mut PgConnection, token: &str) -> Result<Presented, sqlx::Error> {
    sqlx::query_as(
        "SELECT t.spent_at IS NOT NULL AS spent,
                t.expires_at > clock_timestamp() AS alive,
                coalesce(t.spent_at > clock_timestamp() - make_interval(secs => $2), false)
                    AS in_grace,
                t.next_salt, n.expires_at AS next_expires_at
         FROM auth.refresh_token t
         LEFT JOIN auth.refresh_token n ON n.token_hash = t.next_hash AND n.spent_at IS NULL
         WHERE t.token_hash = $1",
    )
    .bind(sha256(token))
    .bind(REUSE_GRACE.as_secs_f64())
    .fetch_one(connection)
    .await
}

async fn living(
    connection: &mut PgConnection,
    family: &Family,
    serves: impl Fn(&Session) -> bool,
) -> Result<Session, RefreshError> {
    session::find_by_id(connection, family.session_id.into())
        .await?
        .filter(serves)
        .ok_or(RefreshError::Invalid)
}

async fn spend(
    connection: &mut PgConnection,
    token: &str,
    salt: &[u8],
    next: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE auth.refresh_token
         SET spent_at = clock_timestamp(), next_salt = $2, next_hash = $3
         WHERE token_hash = $1",
    )
    .bind(sha256(token))
    .bind(salt)
    .bind(sha256(next))
    .execute(&mut *connection)
    .await?;
    // The token before this one cannot derive it any more.
    sqlx::query("UPDATE auth.refresh_token SET next_salt = NULL WHERE next_hash = $1")
        .bind(sha256(token))
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a family.
///
/// # Errors
/// Returns the database's error.
pub(super) async fn end(
    executor: impl PgExecutor<'_>,
    family: Uuid,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE auth.refresh_family SET ended_at = now(), end_reason = $2
         WHERE id = $1 AND ended_at IS NULL",
    )
    .bind(family)
    .bind(reason)
    .execute(executor)
    .await?;
    Ok(())
}
