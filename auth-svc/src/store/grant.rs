//! What is known of stored grants: that they are there, never what they are.

use latchkey_domain::{GrantBinding, ProviderName, ScopeSet};
use sqlx::PgExecutor;

use crate::store::session::Session;

/// True where a living refresh token with at least these scopes is stored.
///
/// # Errors
/// The database's refusal.
pub async fn is_held(
    executor: impl PgExecutor<'_>,
    binding: &GrantBinding,
    scopes: &ScopeSet,
) -> Result<bool, sqlx::Error> {
    let held: Vec<(Vec<String>,)> = sqlx::query_as(
        "SELECT granted_scopes FROM vault.offline_grant
         WHERE workspace_id = $1 AND user_id = $2
           AND provider = $3 AND issuer = $4 AND subject = $5",
    )
    .bind(binding.workspace.as_uuid())
    .bind(binding.user.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .fetch_all(executor)
    .await?;
    Ok(held
        .into_iter()
        .any(|(granted,)| granted.into_iter().collect::<ScopeSet>().covers(scopes)))
}

/// True where this session's person signs in with the provider and no grant
/// of theirs there is known to be dead: there is nothing to go round for.
///
/// # Errors
/// The database's refusal.
pub async fn is_content(
    executor: impl PgExecutor<'_>,
    session: &Session,
    provider: &ProviderName,
) -> Result<bool, sqlx::Error> {
    let (content,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM auth.identity
                        WHERE user_id = $1 AND provider = $3)
            AND NOT EXISTS (SELECT FROM vault.dead_grant
                            WHERE user_id = $1 AND workspace_id = $2 AND provider = $3)",
    )
    .bind(session.user.as_uuid())
    .bind(session.workspace.as_uuid())
    .bind(provider.as_str())
    .fetch_one(executor)
    .await?;
    Ok(content)
}
