//! One-time hand-over codes, which hand a session over to a front end on another origin
//! (R10).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_domain::SessionId;
use latchkey_service::database::BoundedConnection;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use std::time::Duration;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::secret::HandoverCode;
use crate::store::IssueError;
use crate::store::session::refresh::{self, Holder, IssuedToken};
use crate::store::session::{self, Session};

/// Lifetime of a hand-over code. It is short because the browser redeems the code at
/// once. RFC 6749 section 4.1.2 allows ten minutes.
pub const CODE_LIFETIME: Duration = Duration::from_mins(1);

/// Why a code is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The code is unknown, expired or used, or its session has ended.
    #[error("the code is unknown, expired or used")]
    Invalid,
    /// The code was issued for another origin.
    #[error("the code was issued for another origin")]
    OtherOrigin,
    /// The code was issued for the holder of the verifier, or for the browser that signed
    /// in, and the request has neither.
    #[error("the request has neither the verifier nor the session cookie")]
    OtherBrowser,
    /// The refresh token was not issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The database failed or is not reachable.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// The result of redeeming a code.
#[derive(Debug)]
pub struct Redeemed {
    /// The session.
    pub session: Session,
    /// A refresh token for a cookie, if the request does not have the session's own cookie.
    pub refresh: Option<IssuedToken>,
}

/// What a request proves when it redeems a code.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// `Origin` of the request.
    pub origin: Option<&'a str>,
    /// Verifier of the code challenge that the sign-in was started with.
    pub verifier: Option<&'a str>,
    /// The session of this browser.
    pub session: Option<SessionId>,
}

/// Issues a code for `origin`.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn issue(
    executor: impl PgExecutor<'_>,
    session: SessionId,
    origin: &str,
    challenge: Option<&str>,
    randomness: &Randomness,
) -> Result<HandoverCode, IssueError> {
    let code = HandoverCode::generate(randomness)?;
    sqlx::query(
        "INSERT INTO auth.handover_code (code_hash, session_id, origin, challenge, expires_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))",
    )
    .bind(sha256(code.expose()))
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

/// Redeems a code. A code can be tried once, whatever the result.
///
/// # Errors
/// See [`CodeError`].
pub async fn redeem(
    pool: &PgPool,
    code: &HandoverCode,
    proof: Proof<'_>,
    refresh_lifetime: Duration,
    randomness: &Randomness,
) -> Result<Redeemed, CodeError> {
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let outcome = take(&mut transaction, code, proof, refresh_lifetime, randomness).await;
    match outcome {
        // The code stays usable, because nothing was written.
        Err(CodeError::Issue(_) | CodeError::Database(_)) => transaction.rollback().await?,
        _ => transaction.commit().await?,
    }
    outcome
}

async fn take(
    connection: &mut PgConnection,
    code: &HandoverCode,
    proof: Proof<'_>,
    refresh_lifetime: Duration,
    randomness: &Randomness,
) -> Result<Redeemed, CodeError> {
    let row: Option<Row> = sqlx::query_as(
        "UPDATE auth.handover_code SET used_at = now()
         WHERE code_hash = $1 AND used_at IS NULL
         RETURNING session_id, origin, challenge, expires_at > now() AS alive",
    )
    .bind(sha256(code.expose()))
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
    // A request without `Origin` does not come from a browser, so it needs the verifier.
    if proof
        .origin
        .map_or(!verified, |origin| origin != row.origin)
    {
        return Err(CodeError::OtherOrigin);
    }
    // A link with the code of another person must not sign anyone in (login CSRF).
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
        .bind(sha256(code.expose()))
        .bind(family)
        .execute(connection)
        .await?;
    Ok(Redeemed {
        session,
        refresh: Some(token),
    })
}

/// Checks the verifier by method S256 (RFC 7636 section 4.6).
fn is_verifier_of(verifier: &str, challenge: &str) -> bool {
    let computed = URL_SAFE_NO_PAD.encode(sha256(verifier));
    verify_slices_are_equal(computed.as_bytes(), challenge.as_bytes()).is_ok()
}

/// Ends the token family of a code that is used twice (RFC 6749 section 4.1.2): it was
/// stolen.
async fn end_family_of(
    connection: &mut PgConnection,
    code: &HandoverCode,
) -> Result<(), sqlx::Error> {
    let family: Option<(Option<Uuid>,)> =
        sqlx::query_as("SELECT family_id FROM auth.handover_code WHERE code_hash = $1")
            .bind(sha256(code.expose()))
            .fetch_optional(&mut *connection)
            .await?;
    if let Some((Some(family),)) = family {
        refresh::end(connection, family, "CODE_REUSED").await?;
    }
    Ok(())
}
