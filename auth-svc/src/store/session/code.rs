//! One-time codes: a sign-in handed over to a front end on another origin (R10).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_domain::SessionId;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use std::time::Duration;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::store::issue::IssueError;
use crate::store::session::refresh::{self, Holder, IssuedToken};
use crate::store::session::{self, Session};

/// Lifetime of a hand-over code. It is short because the browser redeems the code at
/// once. RFC 6749 section 4.1.2 allows ten minutes.
pub const CODE_LIFETIME: Duration = Duration::from_mins(1);

/// Why a code is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// Nobody knows it, it is over, or it was used before; what it was used for
    /// has ended.
    #[error("the code is unknown, over or used")]
    Invalid,
    /// It was made for another origin.
    #[error("the code is another origin's")]
    OtherOrigin,
    /// It was made for who has the verifier, or for the browser that signed in:
    /// neither is here.
    #[error("the code comes without its verifier and without the session's cookie")]
    OtherBrowser,
    /// Nothing could be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The database refused or is not there.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// What a code gave.
#[derive(Debug)]
pub struct Redeemed {
    /// The session.
    pub session: Session,
    /// A refresh token for a cookie, where the session's own did not come along.
    pub refresh: Option<IssuedToken>,
}

/// What the one who redeems shows.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// `Origin` of the request.
    pub origin: Option<&'a str>,
    /// Verifier of the challenge that the sign-in was started with.
    pub verifier: Option<&'a str>,
    /// The session of this browser.
    pub session: Option<SessionId>,
}

/// Makes a code for `origin`.
///
/// # Errors
/// The database's refusal, no randomness.
pub async fn issue(
    executor: impl PgExecutor<'_>,
    session: SessionId,
    origin: &str,
    challenge: Option<&str>,
    randomness: &Randomness,
) -> Result<String, IssueError> {
    let code = randomness.token()?;
    sqlx::query(
        "INSERT INTO auth.handover_code (code_hash, session_id, origin, challenge, expires_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))",
    )
    .bind(sha256(&code))
    .bind(session.as_uuid())
    .bind(origin)
    .bind(challenge)
    .bind(CODE_LIFETIME.as_secs_f64())
    .execute(executor)
    .await?;
    Ok(code)
}

#[derive(FromRow)]
struct Row {
    session_id: Uuid,
    origin: String,
    challenge: Option<String>,
    alive: bool,
}

/// Redeems a code. It has one try, whatever comes of it.
///
/// # Errors
/// It is not taken; see [`CodeError`].
pub async fn redeem(
    pool: &PgPool,
    code: &str,
    proof: Proof<'_>,
    refresh_lifetime: Duration,
    randomness: &Randomness,
) -> Result<Redeemed, CodeError> {
    let mut transaction = pool.begin().await?;
    let outcome = take(&mut transaction, code, proof, refresh_lifetime, randomness).await;
    match outcome {
        // Not even the code is spent: nothing happened.
        Err(CodeError::Issue(_) | CodeError::Database(_)) => transaction.rollback().await?,
        _ => transaction.commit().await?,
    }
    outcome
}

async fn take(
    connection: &mut PgConnection,
    code: &str,
    proof: Proof<'_>,
    refresh_lifetime: Duration,
    randomness: &Randomness,
) -> Result<Redeemed, CodeError> {
    let row: Option<Row> = sqlx::query_as(
        "UPDATE auth.handover_code SET used_at = now()
         WHERE code_hash = $1 AND used_at IS NULL
         RETURNING session_id, origin, challenge, expires_at > now() AS alive",
    )
    .bind(sha256(code))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        end_family_of(connection, code).await?;
        return Err(CodeError::Invalid);
    };
    if !row.alive {
        return Err(CodeError::Invalid);
    }
    let same_browser = proof.session == Some(row.session_id.into());
    let verified = match (&row.challenge, proof.verifier) {
        (Some(challenge), Some(verifier)) => is_verifier_of(verifier, challenge),
        _ => false,
    };
    // Without `Origin` it is no browser: only the verifier tells who it is.
    if proof
        .origin
        .map_or(!verified, |origin| origin != row.origin)
    {
        return Err(CodeError::OtherOrigin);
    }
    // A link with a stranger's code must not sign anyone in (login CSRF).
    if !(verified || (row.challenge.is_none() && same_browser)) {
        return Err(CodeError::OtherBrowser);
    }
    let session = session::find_by_id(&mut *connection, row.session_id.into())
        .await?
        .ok_or(CodeError::Invalid)?;
    if same_browser {
        return Ok(Redeemed {
            session,
            refresh: None,
        });
    }
    let (family, token) = refresh::begin(
        connection,
        session.id,
        Holder::Cookie,
        Some(&row.origin),
        refresh_lifetime,
        randomness,
    )
    .await?;
    sqlx::query("UPDATE auth.handover_code SET family_id = $2 WHERE code_hash = $1")
        .bind(sha256(code))
        .bind(family)
        .execute(connection)
        .await?;
    Ok(Redeemed {
        session,
        refresh: Some(token),
    })
}

/// S256 of RFC 7636.
fn is_verifier_of(verifier: &str, challenge: &str) -> bool {
    let computed = URL_SAFE_NO_PAD.encode(sha256(verifier));
    verify_slices_are_equal(computed.as_bytes(), challenge.as_bytes()).is_ok()
}

/// RFC 6749 section 4.1.2: a code that comes twice was stolen once.
async fn end_family_of(connection: &mut PgConnection, code: &str) -> Result<(), sqlx::Error> {
    let family: Option<(Option<Uuid>,)> =
        sqlx::query_as("SELECT family_id FROM auth.handover_code WHERE code_hash = $1")
            .bind(sha256(code))
            .fetch_optional(&mut *connection)
            .await?;
    if let Some((Some(family),)) = family {
        refresh::end(connection, family, "CODE_REUSED").await?;
    }
    Ok(())
}
