//! The provider of a session, and the sealed ID token that is kept as the hint of the sign-out there.
//! A trigger erases the token when the session ends, and [`cleanup`](crate::store::cleanup) when it has
//! expired.

use latchkey_domain::{ProviderName, SessionId};
use sqlx::{FromRow, PgExecutor};

/// What is needed to end the session at the provider.
#[derive(Debug, Clone)]
pub struct SignedInWith {
    /// The provider that the person signed in with.
    pub provider: ProviderName,
    /// Its issuer at the sign-in.
    pub issuer: String,
    /// The ID token of the sign-in, sealed.
    pub sealed_id_token: Option<String>,
}

#[derive(FromRow)]
struct Row {
    provider: String,
    issuer: String,
    sealed_id_token: Option<String>,
}

/// Keeps the sealed ID token of a session.
///
/// # Errors
/// Returns the database's error.
pub async fn keep(
    executor: impl PgExecutor<'_>,
    session: SessionId,
    sealed_id_token: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE auth.session SET sealed_id_token = $2 WHERE id = $1")
        .bind(session.as_uuid())
        .bind(sealed_id_token)
        .execute(executor)
        .await?;
    Ok(())
}

/// Returns what is known of the sign-in of a session. `None` if it began before sessions knew their
/// provider.
///
/// # Errors
/// Returns the database's error.
pub async fn of(
    executor: impl PgExecutor<'_>,
    session: SessionId,
) -> Result<Option<SignedInWith>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT provider, issuer, sealed_id_token FROM auth.session
         WHERE id = $1 AND provider IS NOT NULL AND issuer IS NOT NULL",
    )
    .bind(session.as_uuid())
    .fetch_optional(executor)
    .await?;
    Ok(row.and_then(|row| {
        Some(SignedInWith {
            provider: row.provider.parse().ok()?,
            issuer: row.issuer,
            sealed_id_token: row.sealed_id_token,
        })
    }))
}
