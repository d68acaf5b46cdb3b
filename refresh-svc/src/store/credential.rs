//! A row of `vault.credential`.

use std::time::Duration;

use latchkey_domain::{AccountId, GrantBinding, InvalidIdentity, ScopeSet};
use latchkey_providers::FailureClass;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::error::StoreError;
use super::shared_statements::{SharedQuery, SharedRow, accounts};

/// The columns of a [`Credential`]. Durations are computed by the database, because its
/// clock decides on leases and back-offs.
macro_rules! columns {
    () => {
        "account_id, workspace_id, user_id, provider, issuer, subject,
         sealed_access_token, access_token_expires_at, sealed_refresh_token,
         granted_scopes, authenticated_at, last_refreshed_at, version,
         failure_class, failure_count,
         GREATEST(extract(epoch FROM retry_after - clock_timestamp())::float8, 0) AS retry_in,
         auth_failed_at, erased_at, revoked_at_provider,
         GREATEST(extract(epoch FROM lease_until - clock_timestamp())::float8, 0) AS lease_left,
         CASE WHEN intent_version = version THEN intent_count ELSE 0 END AS attempts,
         unreadable_version IS NOT DISTINCT FROM version AS answered_unreadably,
         CASE WHEN refused_version = version THEN refused_count ELSE 0 END AS refusals,
         CASE WHEN refused_version = version
              THEN GREATEST(extract(epoch FROM clock_timestamp() - refused_since)::float8, 0)
              END AS refused_for,
         CASE WHEN client_version = version THEN client_id END AS client_id,
         CASE WHEN refresh_token_version = version THEN refresh_token_expires_at END
             AS grant_expires_at,
         GREATEST(extract(epoch FROM forced_at + interval '1 minute' - clock_timestamp())::float8, 0)
             AS force_in,
         CASE WHEN auth_failed_at IS NOT NULL THEN claims END AS claims,
         change_number"
    };
}
pub(crate) use columns;

/// A failure since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Class of the failure.
    pub class: FailureClass,
    /// Consecutive failures.
    pub count: u32,
    /// Time from the read during which the provider is not asked; zero if it may be
    /// asked.
    pub retry_in: Duration,
}

/// A stored grant.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is what one column says, and any of them may be true"
)]
pub struct Credential {
    /// The account.
    pub account: AccountId,
    /// Identity that the tokens are sealed for.
    pub binding: GrantBinding,
    /// Sealed access token.
    pub sealed_access_token: Option<Vec<u8>>,
    /// When the access token expires. `None` if the provider does not state it.
    pub access_token_expires_at: Option<OffsetDateTime>,
    /// Sealed refresh token.
    pub sealed_refresh_token: Option<Vec<u8>>,
    /// Scopes of the grant.
    pub granted_scopes: ScopeSet,
    /// When the provider authenticated the person.
    pub authenticated_at: OffsetDateTime,
    /// When a refresh last succeeded.
    pub last_refreshed_at: Option<OffsetDateTime>,
    /// Increases with every new access token.
    pub version: i64,
    /// Failure since the last success.
    pub failure: Option<Failure>,
    /// Set if only a sign-in can revive the grant.
    pub dead: bool,
    /// Set if the account was revoked.
    pub erased: bool,
    /// Set if the provider confirmed the revocation.
    pub revoked_at_provider: bool,
    /// Remaining time of the lease; zero if there is none.
    pub lease_left: Duration,
    /// Unanswered requests with this version's refresh token, including that of a lease
    /// just acquired.
    pub attempts: u32,
    /// Set if the provider answered this version's refresh token with success but no
    /// token could be read.
    pub answered_unreadably: bool,
    /// Consecutive refusals that others than the person can withdraw, or for an unknown
    /// reason.
    pub refusals: u32,
    /// Time since the first of these refusals.
    pub refused_for: Duration,
    /// Client id that the tokens were last issued to. `None` if it is unknown.
    pub client_id: Option<String>,
    /// When the provider ends the refresh token. `None` if it does not state it.
    pub grant_expires_at: Option<OffsetDateTime>,
    /// Time from the read during which no caller may force a refresh.
    pub force_in: Duration,
    /// Claims challenge of the provider for the next sign-in.
    pub claims: Option<String>,
    /// Number of the last change of the row of which replicas were notified.
    pub change_number: i64,
    /// Taken before the row was read: it may have changed since.
    pub read_at: Instant,
}

impl Credential {
    /// When the access token was issued, as far as is known.
    pub fn issued_at(&self) -> OffsetDateTime {
        self.last_refreshed_at
            .map_or(self.authenticated_at, |at| at.max(self.authenticated_at))
    }

    /// Returns `true` if the provider may be asked now.
    pub fn may_refresh(&self) -> bool {
        !self.dead
            && !self.erased
            && self
                .failure
                .is_none_or(|failure| failure.retry_in.is_zero())
    }
}

/// The columns of the identity that tokens are sealed for.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct BindingColumns {
    workspace_id: Uuid,
    user_id: Uuid,
    provider: String,
    issuer: String,
    subject: String,
}

impl BindingColumns {
    pub(super) fn parse(self) -> Result<GrantBinding, InvalidIdentity> {
        Ok(GrantBinding {
            workspace: self.workspace_id.into(),
            user: self.user_id.into(),
            provider: self.provider.parse()?,
            issuer: self.issuer.parse()?,
            subject: self.subject.parse()?,
        })
    }
}

/// The columns as PostgreSQL returns them.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    account_id: Uuid,
    #[sqlx(flatten)]
    binding: BindingColumns,
    sealed_access_token: Option<Vec<u8>>,
    access_token_expires_at: Option<OffsetDateTime>,
    sealed_refresh_token: Option<Vec<u8>>,
    granted_scopes: Vec<String>,
    authenticated_at: OffsetDateTime,
    last_refreshed_at: Option<OffsetDateTime>,
    version: i64,
    failure_class: Option<String>,
    failure_count: i32,
    retry_in: Option<f64>,
    auth_failed_at: Option<OffsetDateTime>,
    erased_at: Option<OffsetDateTime>,
    revoked_at_provider: bool,
    lease_left: Option<f64>,
    attempts: i32,
    answered_unreadably: bool,
    refusals: i32,
    refused_for: Option<f64>,
    client_id: Option<String>,
    grant_expires_at: Option<OffsetDateTime>,
    force_in: Option<f64>,
    claims: Option<String>,
    change_number: i64,
}

impl SharedRow for Row {
    const STATEMENT: &'static str = concat!(
        "SELECT ",
        columns!(),
        " FROM vault.credential WHERE account_id = ANY($1)"
    );
    type Ask = ();
    type Value = Credential;

    fn bind<'q>(query: SharedQuery<'q>, asks: &[(AccountId, ())]) -> SharedQuery<'q> {
        query.bind(accounts(asks))
    }

    fn parse(self, (): &(), asked_at: Instant) -> Result<Option<Credential>, StoreError> {
        self.into_credential(asked_at).map(Some)
    }
}

impl Row {
    pub(super) fn into_credential(self, read_at: Instant) -> Result<Credential, StoreError> {
        let account = AccountId::from(self.account_id);
        let binding = self
            .binding
            .parse()
            .map_err(|error| StoreError::Unreadable {
                account,
                problem: error.to_string(),
            })?;
        let dead = self.auth_failed_at.is_some();
        let failure = self.failure_class.map(|reason| Failure {
            // A newer version may have stored a reason that is unknown here.
            class: FailureClass::from_reason(&reason).unwrap_or(FailureClass::Unknown),
            count: u32::try_from(self.failure_count).unwrap_or_default(),
            retry_in: length(self.retry_in),
        });
        Ok(Credential {
            account,
            binding,
            sealed_access_token: self.sealed_access_token,
            access_token_expires_at: self.access_token_expires_at,
            sealed_refresh_token: self.sealed_refresh_token,
            granted_scopes: self.granted_scopes.into_iter().collect(),
            authenticated_at: self.authenticated_at,
            last_refreshed_at: self.last_refreshed_at,
            version: self.version,
            failure,
            dead,
            erased: self.erased_at.is_some(),
            revoked_at_provider: self.revoked_at_provider,
            lease_left: length(self.lease_left),
            attempts: u32::try_from(self.attempts).unwrap_or_default(),
            answered_unreadably: self.answered_unreadably,
            refusals: u32::try_from(self.refusals).unwrap_or_default(),
            refused_for: length(self.refused_for),
            client_id: self.client_id,
            grant_expires_at: self.grant_expires_at,
            force_in: length(self.force_in),
            claims: self.claims,
            change_number: self.change_number,
            read_at,
        })
    }
}

fn length(seconds: Option<f64>) -> Duration {
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}
