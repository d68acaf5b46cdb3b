//! One row.

use std::time::Duration;

use latchkey_domain::{AccountId, GrantBinding, ScopeSet};
use latchkey_providers::FailureClass;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::StoreError;

/// A failure since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub class: FailureClass,
    /// How many in a row.
    pub count: u32,
    /// No asking before this much time has passed since the row was read; zero
    /// where one may ask.
    pub retry_in: Duration,
}

/// A stored grant.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is what one column says, and any of them may be true"
)]
pub struct Credential {
    /// Account that it belongs to.
    pub account: AccountId,
    /// Whom the tokens are sealed for.
    pub binding: GrantBinding,
    /// Sealed access token.
    pub sealed_access_token: Option<Vec<u8>>,
    /// When the access token expires; absent where the provider did not say.
    pub access_token_expires_at: Option<OffsetDateTime>,
    /// Sealed refresh token.
    pub sealed_refresh_token: Option<Vec<u8>>,
    /// Scopes of the grant.
    pub granted_scopes: ScopeSet,
    /// When the provider authenticated the person.
    pub authenticated_at: OffsetDateTime,
    /// When a refresh last succeeded.
    pub last_refreshed_at: Option<OffsetDateTime>,
    /// Grows with every new access token.
    pub version: i64,
    /// Failure since the last success.
    pub failure: Option<Failure>,
    /// True where only the person can revive the grant.
    pub dead: bool,
    /// True where the account was revoked.
    pub erased: bool,
    /// True where the provider confirmed the revocation.
    pub revoked_at_provider: bool,
    /// How long a running refresh may still hold the row; zero where none does.
    pub lease_left: Duration,
    /// Requests that were sent with this version's refresh token and never
    /// answered, the one of a lease just taken counted in.
    pub attempts: u32,
    /// True if the provider answered this version's refresh token as if it had
    /// issued tokens, and none could be read.
    pub answered_unreadably: bool,
    /// Refusals in a row that others than the person may take back, or whose reason is
    /// not known.
    pub refusals: u32,
    /// Since when there are such refusals.
    pub refused_for: Duration,
    /// The client id that the tokens were last given to; absent where it is not known.
    pub client_id: Option<String>,
    /// When the provider ends the refresh token; absent where it did not say.
    pub grant_expires_at: Option<OffsetDateTime>,
    /// No caller forces a refresh before this much time has passed since the row was read.
    pub force_in: Duration,
    /// What the provider asks of the person at the next sign-in (a claims challenge).
    pub claims: Option<String>,
    /// Before the row was read: it may have changed since.
    pub read_at: Instant,
}

impl Credential {
    /// When the access token was issued, as far as is known.
    pub fn issued_at(&self) -> OffsetDateTime {
        self.last_refreshed_at
            .map_or(self.authenticated_at, |at| at.max(self.authenticated_at))
    }

    /// True where the provider may be asked now.
    pub fn may_refresh(&self) -> bool {
        !self.dead
            && !self.erased
            && self
                .failure
                .is_none_or(|failure| failure.retry_in.is_zero())
    }
}

/// The row as PostgreSQL gives it.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    account_id: Uuid,
    workspace_id: Uuid,
    user_id: Uuid,
    provider: String,
    issuer: String,
    subject: String,
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
}

impl Row {
    pub(super) fn into_credential(self, read_at: Instant) -> Result<Credential, StoreError> {
        let account = AccountId::from(self.account_id);
        let unreadable = |problem: String| StoreError::Unreadable { account, problem };
        let binding = GrantBinding {
            workspace: self.workspace_id.into(),
            user: self.user_id.into(),
            provider: self
                .provider
                .parse()
                .map_err(|error| unreadable(format!("{error}")))?,
            issuer: self
                .issuer
                .parse()
                .map_err(|error| unreadable(format!("{error}")))?,
            subject: self
                .subject
                .parse()
                .map_err(|error| unreadable(format!("{error}")))?,
        };
        let dead = self.auth_failed_at.is_some();
        let failure = self.failure_class.map(|reason| Failure {
            // A reason of a newer Latchkey.
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
            read_at,
        })
    }
}

fn length(seconds: Option<f64>) -> Duration {
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}
