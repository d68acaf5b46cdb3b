//! Grants that the provider ends by itself: which ones to renew, and how many end soon.

use latchkey_domain::AccountId;
use uuid::Uuid;

use super::{Priority, STATEMENT, Store, StoreError, within};

/// Number of living grants of one provider that end soon.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Ending {
    /// Provider name.
    pub provider: String,
    /// Number of grants.
    pub grants: i64,
}

impl Store {
    /// Living accounts whose grant must be renewed now, at most fifty, the most urgent
    /// first. A grant is due after half of the life of its refresh token.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn to_renew(&self) -> Result<Vec<AccountId>, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        // Index: credential_renew_at.
        let finding = sqlx::query_scalar(
            "SELECT account_id FROM vault.credential
             WHERE renew_at <= clock_timestamp()
               AND refresh_token_expires_at > clock_timestamp()
               AND refresh_token_version = version
               AND sealed_refresh_token IS NOT NULL
               AND auth_failed_at IS NULL AND erased_at IS NULL
               AND (retry_after IS NULL OR retry_after <= clock_timestamp())
               AND (lease_until IS NULL OR lease_until <= clock_timestamp())
             ORDER BY renew_at LIMIT 50",
        )
        .fetch_all(held.connection()?);
        let found = within(STATEMENT, finding).await;
        let accounts: Vec<Uuid> = held.finish(found)?;
        Ok(accounts.into_iter().map(Into::into).collect())
    }

    /// Number of living grants that end within a day, by provider.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn ending(&self) -> Result<Vec<Ending>, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let counting = sqlx::query_as(
            "SELECT provider, count(*) AS grants FROM vault.credential
             WHERE renew_at IS NOT NULL
               AND refresh_token_expires_at BETWEEN clock_timestamp()
                   AND clock_timestamp() + interval '1 day'
               AND refresh_token_version = version
               AND auth_failed_at IS NULL AND erased_at IS NULL
             GROUP BY provider",
        )
        .fetch_all(held.connection()?);
        let counted = within(STATEMENT, counting).await;
        held.finish(counted)
    }
}
