//! The tokens of a refresh, and the statement that stores them. The write requires the version and the epoch that were
//! read, so a reconnect or another holder in between takes precedence.

use std::sync::Arc;

use latchkey_domain::{AccountId, ScopeSet, SealedAccessToken, SealedRefreshToken};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::connections::Priority;
use super::credential::{self, Credential, columns};
use super::error::StoreError;
use super::shared_statements::{SharedQuery, SharedRow, accounts};

/// Sealed tokens of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTokens {
    /// The access token.
    pub sealed_access_token: SealedAccessToken,
    /// When the access token expires.
    pub access_token_expires_at: OffsetDateTime,
    /// The rotated refresh token. `None` if the stored one stays valid (R31).
    pub sealed_refresh_token: Option<SealedRefreshToken>,
    /// When the provider ends the refresh token. `None` if it does not state it.
    pub refresh_token_expires_at: Option<OffsetDateTime>,
    /// Granted scopes. `None` if they did not change.
    pub granted_scopes: Option<ScopeSet>,
    /// When the tokens were requested.
    pub refreshed_at: OffsetDateTime,
    /// Client id that they were issued to.
    pub client_id: String,
    /// Set if a caller forced the refresh although the previous token had not expired.
    pub forced: bool,
}

/// What is asked of [`Store::commit`](super::Store::commit) besides the account.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CommitAsk {
    pub(super) version: i64,
    pub(super) epoch: i64,
    pub(super) tokens: Arc<NewTokens>,
}

/// A row with its new tokens.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct CommittedRow {
    #[sqlx(flatten)]
    row: credential::Row,
}

/// The statement. `$rows_in_use` says what happens with rows that another transaction is
/// writing. The scopes of a row are one text, because `unnest` takes lists of lists apart.
macro_rules! commit {
    ($rows_in_use:literal) => {
        concat!(
            "WITH given AS (
                 SELECT asked.*
                 FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[],
                             $5::timestamptz[], $6::bytea[], $7::text[], $8::timestamptz[],
                             $9::text[], $10::boolean[], $11::timestamptz[])
                      AS asked (id, of_version, of_epoch, access_token, expires_at, refresh_token,
                                scopes, refreshed_at, client, forced, grant_until)
                 JOIN vault.credential ON credential.account_id = asked.id
                 WHERE credential.version = asked.of_version
                   AND credential.lease_epoch = asked.of_epoch
                   AND credential.erased_at IS NULL
                 FOR UPDATE OF credential ",
            $rows_in_use,
            ")
             UPDATE vault.credential
             SET sealed_access_token = given.access_token,
                 access_token_expires_at = given.expires_at,
                 sealed_refresh_token = coalesce(given.refresh_token, sealed_refresh_token),
                 granted_scopes = coalesce(string_to_array(given.scopes, ' '), refresh_scopes,
                                           granted_scopes),
                 authenticated_at = coalesce(refresh_authenticated_at, authenticated_at),
                 refresh_authenticated_at = NULL, refresh_scopes = NULL,
                 last_refreshed_at = given.refreshed_at,
                 version = version + 1,
                 client_id = given.client, client_version = version + 1,
                 -- What is known of the old refresh token says nothing of a new one.
                 refresh_token_version = CASE
                     WHEN given.grant_until IS NOT NULL THEN version + 1
                     WHEN given.refresh_token IS NULL AND refresh_token_version = version
                     THEN version + 1
                     END,
                 refresh_token_expires_at = coalesce(given.grant_until, refresh_token_expires_at),
                 renew_at = CASE
                     WHEN given.grant_until IS NOT NULL
                       OR (given.refresh_token IS NULL AND refresh_token_version = version)
                     THEN vault.renewal_of(coalesce(given.grant_until, refresh_token_expires_at))
                     END,
                 forced_at = CASE WHEN given.forced THEN clock_timestamp() ELSE forced_at END,
                 failure_class = NULL, failure_count = 0, retry_after = NULL,
                 lease_holder = NULL, lease_until = NULL,
                 intent_version = NULL, intent_at = NULL, intent_count = 0
             FROM given
             WHERE account_id = given.id AND version = given.of_version
               AND lease_epoch = given.of_epoch AND erased_at IS NULL
             RETURNING ",
            columns!()
        )
    };
}

/// For one account.
pub(super) const ALONE: &str = commit!("");

impl SharedRow for CommittedRow {
    // A statement never waits for one of its rows while it has locked others.
    const STATEMENT: &'static str = commit!("SKIP LOCKED");
    const PRIORITY: Priority = Priority::Immediate;
    type Ask = CommitAsk;
    type Value = Credential;

    fn bind<'q>(query: SharedQuery<'q>, asks: &[(AccountId, CommitAsk)]) -> SharedQuery<'q> {
        fn each<'a, T>(
            asks: &'a [(AccountId, CommitAsk)],
            of: impl Fn(&'a NewTokens) -> T,
        ) -> Vec<T> {
            asks.iter().map(|(_, ask)| of(&ask.tokens)).collect()
        }
        let versions: Vec<_> = asks.iter().map(|(_, ask)| ask.version).collect();
        let epochs: Vec<_> = asks.iter().map(|(_, ask)| ask.epoch).collect();
        query
            .bind(accounts(asks))
            .bind(versions)
            .bind(epochs)
            .bind(each(asks, |new| new.sealed_access_token.as_bytes()))
            .bind(each(asks, |new| new.access_token_expires_at))
            .bind(each(asks, |new| {
                let sealed = new.sealed_refresh_token.as_ref();
                sealed.map(SealedRefreshToken::as_bytes)
            }))
            .bind(each(asks, |new| {
                new.granted_scopes.as_ref().map(ScopeSet::to_string)
            }))
            .bind(each(asks, |new| new.refreshed_at))
            .bind(each(asks, |new| new.client_id.as_str()))
            .bind(each(asks, |new| new.forced))
            .bind(each(asks, |new| new.refresh_token_expires_at))
    }

    fn parse(self, _: &CommitAsk, asked_at: Instant) -> Result<Option<Credential>, StoreError> {
        self.row.into_credential(asked_at).map(Some)
    }
}
