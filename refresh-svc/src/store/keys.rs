//! Which key seals which token, and how a grant is resealed to another key. Nothing here
//! changes a version: for callers and other writers a resealed grant is the same grant.
//!
//! PostgreSQL computes the key ids (`…_key_id`) from the tokens. A token that is not an
//! envelope has the key id `(none)`.

use std::fmt;
use std::time::Duration;

use latchkey_domain::{AccountId, SealedAccessToken, SealedRefreshToken};
use latchkey_sealing::KeyId;
use latchkey_service::sweep_window;
use uuid::Uuid;

use super::{
    Credential, LONG_STATEMENT, Priority, Store, StoreError, WHOLE_TABLE, columns, within,
};

/// Maximum number of grants that are opened and sealed between two statements: about ten milliseconds
/// of work. It is a part of the statements, because the planner has to know the number.
macro_rules! reseal_batch {
    () => {
        25
    };
}
pub(super) use reseal_batch;

/// Number of tokens that one key seals.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SealedTokens {
    /// Key id.
    pub key: String,
    /// Access tokens.
    pub access: i64,
    /// Refresh tokens.
    pub refresh: i64,
}

/// An account whose grant no configured key opens, with the key that would open it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LostGrant {
    /// The account.
    pub account_id: Uuid,
    workspace_id: Uuid,
    user_id: Uuid,
    provider: String,
    handle: String,
    key: String,
}

impl fmt::Display for LostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "account {} workspace {} user {} {} {} key {}",
            self.account_id, self.workspace_id, self.user_id, self.provider, self.handle, self.key
        )
    }
}

/// A grant with resealed tokens, and the bytes that they replace.
#[derive(Debug, Clone)]
pub struct Resealed {
    /// The credential as it was read.
    pub before: Credential,
    /// The access token, sealed to the current key. `None` if it stays as it is.
    pub access_token: Option<SealedAccessToken>,
    /// The refresh token, sealed to the current key. `None` if it stays as it is.
    pub refresh_token: Option<SealedRefreshToken>,
}

impl Store {
    /// Counts the stored tokens by key, ordered by key id.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn count_by_key(&self) -> Result<Vec<SealedTokens>, StoreError> {
        let query = sqlx::query_as(
            "SELECT key, sum(access) AS access, sum(refresh) AS refresh
             FROM (SELECT access_token_key_id AS key, 1 AS access, 0 AS refresh
                   FROM vault.credential
                   UNION ALL
                   SELECT refresh_token_key_id, 0, 1 FROM vault.credential
                   UNION ALL
                   SELECT refresh_token_key_id, 0, 1 FROM vault.replaced_grant) AS token
             WHERE key IS NOT NULL
             GROUP BY key ORDER BY key",
        );
        self.fetch_all(WHOLE_TABLE, query).await
    }

    /// Returns an account id at `fraction` (0 to 1) of the way from the lowest to the highest, or
    /// `None` if there are no accounts.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn account_id_at(&self, fraction: f64) -> Result<Option<AccountId>, StoreError> {
        let query = sqlx::query_as(
            "SELECT lowest.account_id, highest.account_id
             FROM (SELECT account_id FROM vault.credential
                   ORDER BY account_id LIMIT 1) AS lowest,
                  (SELECT account_id FROM vault.credential
                   ORDER BY account_id DESC LIMIT 1) AS highest",
        );
        let ends: Vec<(Uuid, Uuid)> = self.fetch_all(LONG_STATEMENT, query).await?;
        let billionths = Duration::from_secs(1).mul_f64(fraction).as_nanos();
        Ok(ends.into_iter().next().map(|(lowest, highest)| {
            let way = highest.as_u128().saturating_sub(lowest.as_u128());
            let id = lowest.as_u128() + way / 1_000_000_000 * billionths;
            Uuid::from_u128(id).into()
        }))
    }

    /// Returns the last of the next [`sweep_window!`] accounts after `after` up to `until`, ordered
    /// by account, or `None` if there are none.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn end_of_window(
        &self,
        after: AccountId,
        until: AccountId,
    ) -> Result<Option<AccountId>, StoreError> {
        let query = sqlx::query_as(concat!(
            "SELECT account_id
             FROM (SELECT account_id FROM vault.credential
                   WHERE account_id > $1 AND account_id <= $2
                   ORDER BY account_id LIMIT ",
            sweep_window!(),
            ") AS seen
             ORDER BY account_id DESC LIMIT 1"
        ))
        .bind(after.as_uuid())
        .bind(until.as_uuid());
        let last: Vec<(Uuid,)> = self.fetch_all(LONG_STATEMENT, query).await?;
        Ok(last.into_iter().next().map(|(account,)| account.into()))
    }

    /// Reads grants with a token that is sealed to another key than `current`: at most
    /// [`reseal_batch!`] of the accounts after `after` up to `until`, ordered by account.
    ///
    /// # Errors
    /// Returned if the database does not answer or a row cannot be parsed.
    pub async fn stale_page(
        &self,
        after: AccountId,
        until: AccountId,
        current: &KeyId,
    ) -> Result<Vec<Credential>, StoreError> {
        let query = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM vault.credential
             WHERE account_id > $1 AND account_id <= $2
               AND (access_token_key_id <> $3 OR refresh_token_key_id <> $3)
             ORDER BY account_id LIMIT ",
            reseal_batch!()
        ))
        .bind(after.as_uuid())
        .bind(until.as_uuid())
        .bind(current.as_str());
        self.fetch_credentials(query).await
    }

    /// Replaces the bytes of grants that were resealed, and returns how many. A row whose
    /// tokens have changed since or that is locked is skipped, so that no lock is waited
    /// for and nothing newer is overwritten.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn replace_envelopes(&self, grants: &[Resealed]) -> Result<u64, StoreError> {
        let column = |of: fn(&Resealed) -> Option<&[u8]>| grants.iter().map(of).collect::<Vec<_>>();
        let accounts: Vec<Uuid> = grants
            .iter()
            .map(|it| it.before.account.as_uuid())
            .collect();
        let query = sqlx::query(
            "WITH unchanged AS (
                 SELECT held.account_id, new.access, new.refresh
                 FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
                     AS new (account_id, old_access, old_refresh, access, refresh)
                 JOIN vault.credential AS held ON held.account_id = new.account_id
                 WHERE held.sealed_access_token IS NOT DISTINCT FROM new.old_access
                   AND held.sealed_refresh_token IS NOT DISTINCT FROM new.old_refresh
                 FOR NO KEY UPDATE OF held SKIP LOCKED
             )
             UPDATE vault.credential AS held
             SET sealed_access_token = coalesce(unchanged.access, held.sealed_access_token),
                 sealed_refresh_token = coalesce(unchanged.refresh, held.sealed_refresh_token)
             FROM unchanged
             WHERE held.account_id = unchanged.account_id",
        )
        .bind(accounts)
        .bind(column(|it| it.before.sealed_access_token.as_deref()))
        .bind(column(|it| it.before.sealed_refresh_token.as_deref()))
        .bind(column(|it| {
            it.access_token.as_ref().map(SealedAccessToken::as_bytes)
        }))
        .bind(column(|it| {
            it.refresh_token.as_ref().map(SealedRefreshToken::as_bytes)
        }));
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let done = within(LONG_STATEMENT, query.execute(held.connection()?)).await;
        Ok(held.finish(done)?.rows_affected())
    }

    /// Living accounts after `after` whose grant only a sign-in can restore: none of the
    /// `known` keys opens the refresh token, or the access token if there is no refresh
    /// token. Ordered by account.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn lost_grants(
        &self,
        known: &[String],
        after: AccountId,
        limit: i64,
    ) -> Result<Vec<LostGrant>, StoreError> {
        let query = sqlx::query_as(
            "SELECT account_id, workspace_id, user_id, provider, handle,
                    coalesce(refresh_token_key_id, access_token_key_id) AS key
             FROM vault.credential
             WHERE auth_failed_at IS NULL AND erased_at IS NULL
               AND coalesce(refresh_token_key_id, access_token_key_id) <> ALL($1)
               AND account_id > $2
             ORDER BY account_id LIMIT $3",
        )
        .bind(known)
        .bind(after.as_uuid())
        .bind(limit);
        self.fetch_all(WHOLE_TABLE, query).await
    }
}
