//! Users and the identities that they sign in with.

use latchkey_domain::{GrantBinding, Handle, UserId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Locks an identity and returns its user. Two first sign-ins of the same person at the
/// same time wait for each other here, so that only one user is created.
///
/// # Errors
/// Returns the database's error.
pub async fn lock(
    connection: &mut PgConnection,
    provider: &str,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("{provider}\n{issuer}\n{subject}"))
        .execute(&mut *connection)
        .await?;
    // Index: identity_provider_issuer_subject_key. A user is never looked up by e-mail
    // address.
    let found: Option<(Uuid,)> = sqlx::query_as(
        "SELECT user_id FROM auth.identity
         WHERE provider = $1 AND issuer = $2 AND subject = $3",
    )
    .bind(provider)
    .bind(issuer)
    .bind(subject)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(user,)| user.into()))
}

/// Adds a user.
///
/// # Errors
/// Returns the database's error.
pub async fn add_user(
    connection: &mut PgConnection,
    user: UserId,
    handle: &Handle,
    name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO auth.app_user (id, email, display_name) VALUES ($1, $2, $3)")
        .bind(user.as_uuid())
        .bind(handle.as_str())
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the identity of the binding and returns the sign-in's time by the database's
/// clock. All replicas share that clock, so it decides which of two grants is newer.
///
/// # Errors
/// Returns the database's error.
pub async fn note_sign_in(
    connection: &mut PgConnection,
    binding: &GrantBinding,
    handle: &Handle,
    email_verified: bool,
) -> Result<OffsetDateTime, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO auth.identity
             (id, user_id, provider, issuer, subject, email, email_verified, last_sign_in_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
         ON CONFLICT (provider, issuer, subject) DO UPDATE
         SET email = excluded.email, email_verified = excluded.email_verified,
             last_sign_in_at = excluded.last_sign_in_at
         RETURNING last_sign_in_at",
    )
    .bind(Uuid::now_v7())
    .bind(binding.user.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .bind(handle.as_str())
    .bind(email_verified)
    .fetch_one(connection)
    .await
}
