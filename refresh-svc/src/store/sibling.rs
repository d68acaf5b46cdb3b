//! Accounts of one identity at one provider.

use sqlx::PgConnection;

use super::Credential;

/// Returns `true` if the identity has a living grant in another account. Until
/// the transaction ends no other account of the identity is asked about, so that
/// of several which are disconnected at once exactly one is the last.
pub(super) async fn lives(
    transaction: &mut PgConnection,
    credential: &Credential,
) -> Result<bool, sqlx::Error> {
    let binding = &credential.binding;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))")
        .bind(format!(
            "{}\n{}\n{}",
            binding.provider, binding.issuer, binding.subject
        ))
        .execute(&mut *transaction)
        .await?;
    // Index credential_identity.
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM vault.credential
             WHERE provider = $2 AND issuer = $3 AND subject = $4 AND account_id <> $1
               AND auth_failed_at IS NULL AND erased_at IS NULL)",
    )
    .bind(credential.account.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .fetch_one(transaction)
    .await
}
