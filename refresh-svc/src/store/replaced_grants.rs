//! Refresh tokens of earlier sign-ins: `vault.replaced_grant`.

use latchkey_domain::{AccountId, GrantBinding, SealedRefreshToken};
use latchkey_sealing::KeyId;

use super::credential::BindingColumns;
use super::keys::reseal_batch;
use super::{LONG_STATEMENT, Priority, STATEMENT, Store, StoreError, within};

/// A refresh token that a later sign-in replaced.
#[derive(Clone, sqlx::FromRow)]
pub struct Replaced {
    /// Id of its row.
    pub id: i64,
    /// The token, sealed for the account's binding.
    pub sealed_refresh_token: Vec<u8>,
}

impl std::fmt::Debug for Replaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replaced")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[derive(sqlx::FromRow)]
struct StaleRow {
    #[sqlx(flatten)]
    replaced: Replaced,
    #[sqlx(flatten)]
    binding: BindingColumns,
}

impl Store {
    /// Refresh tokens of earlier sign-ins of an account, the newest first.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn replaced(&self, account: AccountId) -> Result<Vec<Replaced>, StoreError> {
        // Index: replaced_grant_account.
        let query = sqlx::query_as(
            "SELECT id, sealed_refresh_token FROM vault.replaced_grant
             WHERE account_id = $1 ORDER BY id DESC",
        )
        .bind(account.as_uuid());
        self.fetch_all(STATEMENT, query).await
    }

    /// The next [`reseal_batch!`] replaced tokens with ids after `after` that are sealed to another
    /// key than `current`, with their bindings.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn stale_replaced(
        &self,
        after: i64,
        current: &KeyId,
    ) -> Result<Vec<(Replaced, GrantBinding)>, StoreError> {
        let query = sqlx::query_as(concat!(
            "SELECT r.id, c.workspace_id, c.user_id, c.provider, c.issuer, c.subject,
                    r.sealed_refresh_token
             FROM vault.replaced_grant r
             JOIN vault.credential c USING (account_id)
             WHERE r.id > $1 AND r.refresh_token_key_id <> $2
             ORDER BY r.id LIMIT ",
            reseal_batch!()
        ))
        .bind(after)
        .bind(current.as_str());
        let rows: Vec<StaleRow> = self.fetch_all(LONG_STATEMENT, query).await?;
        // If the account's row cannot be parsed, the token cannot be opened anyway.
        Ok(rows
            .into_iter()
            .filter_map(|row| Some((row.replaced, row.binding.parse().ok()?)))
            .collect())
    }

    /// Replaces the bytes of a replaced token with resealed ones. Returns `false` if they
    /// have changed.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn replace_envelope_of_replaced(
        &self,
        before: &Replaced,
        resealed: &SealedRefreshToken,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE vault.replaced_grant SET sealed_refresh_token = $3
             WHERE id = $1 AND sealed_refresh_token = $2",
        )
        .bind(before.id)
        .bind(&before.sealed_refresh_token)
        .bind(resealed.as_bytes());
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let replaced = within(STATEMENT, query.execute(held.connection()?)).await;
        Ok(held.finish(replaced)?.rows_affected() == 1)
    }
}
