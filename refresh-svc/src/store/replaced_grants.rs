//! Refresh tokens of earlier sign-ins: `vault.replaced_grant`.

use latchkey_domain::{AccountId, GrantBinding};
use latchkey_sealing::KeyId;
use uuid::Uuid;

use super::keys::envelope_prefix;
use super::{LONG_STATEMENT, Priority, STATEMENT, Store, StoreError, within};

/// A refresh token that a later sign-in replaced.
#[derive(Clone)]
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
    id: i64,
    workspace_id: Uuid,
    user_id: Uuid,
    provider: String,
    issuer: String,
    subject: String,
    sealed_refresh_token: Vec<u8>,
}

impl Store {
    /// Refresh tokens of earlier sign-ins of an account, the newest first.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn replaced(&self, account: AccountId) -> Result<Vec<Replaced>, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        // Index: replaced_grant_account.
        let reading = sqlx::query_as(
            "SELECT id, sealed_refresh_token FROM vault.replaced_grant
             WHERE account_id = $1 ORDER BY id DESC",
        )
        .bind(account.as_uuid())
        .fetch_all(held.connection()?);
        let read = within(STATEMENT, reading).await;
        let rows: Vec<(i64, Vec<u8>)> = held.finish(read)?;
        Ok(rows
            .into_iter()
            .map(|(id, sealed_refresh_token)| Replaced {
                id,
                sealed_refresh_token,
            })
            .collect())
    }

    /// Replaced tokens with ids after `after` that are sealed to another key than
    /// `current`, with their bindings.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn stale_replaced(
        &self,
        after: i64,
        most: i64,
        current: &KeyId,
    ) -> Result<Vec<(Replaced, GrantBinding)>, StoreError> {
        let envelope_prefix = envelope_prefix(current);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let reading = sqlx::query_as(
            "SELECT r.id, c.workspace_id, c.user_id, c.provider, c.issuer, c.subject,
                    r.sealed_refresh_token
             FROM vault.replaced_grant r
             JOIN vault.credential c USING (account_id)
             WHERE r.id > $1 AND substr(r.sealed_refresh_token, 1, $3) <> $4
             ORDER BY r.id LIMIT $2",
        )
        .bind(after)
        .bind(most)
        .bind(i32::try_from(envelope_prefix.len()).unwrap_or(i32::MAX))
        .bind(envelope_prefix)
        .fetch_all(held.connection()?);
        let read = within(LONG_STATEMENT, reading).await;
        let rows: Vec<StaleRow> = held.finish(read)?;
        Ok(rows.into_iter().filter_map(StaleRow::parsed).collect())
    }

    /// Replaces the bytes of a replaced token with resealed ones.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn replace_envelope_of_replaced(
        &self,
        before: &Replaced,
        sealed: &[u8],
    ) -> Result<bool, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let replacing = sqlx::query(
            "UPDATE vault.replaced_grant SET sealed_refresh_token = $3
             WHERE id = $1 AND sealed_refresh_token = $2",
        )
        .bind(before.id)
        .bind(&before.sealed_refresh_token)
        .bind(sealed)
        .execute(held.connection()?);
        let replaced = within(STATEMENT, replacing).await;
        Ok(held.finish(replaced)?.rows_affected() == 1)
    }
}

impl StaleRow {
    /// Returns `None` if the account's row cannot be parsed: then the token cannot be
    /// opened anyway.
    fn parsed(self) -> Option<(Replaced, GrantBinding)> {
        let binding = GrantBinding {
            workspace: self.workspace_id.into(),
            user: self.user_id.into(),
            provider: self.provider.parse().ok()?,
            issuer: self.issuer.parse().ok()?,
            subject: self.subject.parse().ok()?,
        };
        let replaced = Replaced {
            id: self.id,
            sealed_refresh_token: self.sealed_refresh_token,
        };
        Some((replaced, binding))
    }
}
