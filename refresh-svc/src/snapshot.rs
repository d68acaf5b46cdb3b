//! A credential opened for answering callers; kept in memory only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_domain::{AccessToken, AccountId, ProviderName, ScopeSet, WorkspaceId};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::store::{Credential, Failure, PolicyAttributes};
use crate::upstream::{AccountHealth, CircuitOpen, Upstream};

/// Assumed life of an access token if the provider does not state it: RFC 6749 section
/// 5.1 only recommends `expires_in`. It is short, because refreshing too early costs one
/// request, and answering an expired token causes a failure.
pub const ASSUMED_LIFE: Duration = Duration::from_mins(10);

/// Longest soft margin.
const MAX_SOFT_MARGIN: Duration = Duration::from_mins(5);

/// An access token in clear. Wiped when dropped.
#[derive(Debug, Clone)]
pub struct HeldToken {
    /// The token.
    pub token: AccessToken,
    /// When the token expires.
    pub expires_at: OffsetDateTime,
    /// Life of the token from its issue.
    pub life: Duration,
    /// If less life remains, a new token is fetched in the background.
    pub soft_margin: Duration,
}

impl HeldToken {
    /// Remaining life; zero if the token has expired.
    pub fn remaining(&self, now: OffsetDateTime) -> Duration {
        Duration::try_from(self.expires_at - now).unwrap_or_default()
    }

    /// Time since the issue; zero if the clock is behind that of the issue.
    pub fn age(&self, now: OffsetDateTime) -> Duration {
        Duration::try_from(now - self.expires_at + self.life).unwrap_or_default()
    }
}

/// When the account was last requested, in seconds of the engine's clock.
#[derive(Debug, Default)]
pub struct LastUsed(AtomicU64);

impl LastUsed {
    /// Records a request at `now`.
    pub fn touch(&self, now: OffsetDateTime) {
        let now = now.unix_timestamp().unsigned_abs();
        // Avoids contention on the cache line: written at most once per second.
        if self.0.load(Ordering::Relaxed) != now {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    /// Takes over the time of an earlier snapshot if that is later.
    pub fn merge(&self, earlier: &Self) {
        self.0
            .fetch_max(earlier.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Returns `true` if the account was requested within `window`.
    pub fn within(&self, window: Duration, now: OffsetDateTime) -> bool {
        let asked = self.0.load(Ordering::Relaxed);
        asked != 0 && now.unix_timestamp().unsigned_abs().saturating_sub(asked) < window.as_secs()
    }
}

/// Results of earlier refreshes that later calls need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshHistory {
    /// Failure since the last success, with its back-off as of the read.
    pub failure: Option<Failure>,
    /// Time from the read during which no caller may force a refresh.
    pub force_in: Duration,
    /// Claims challenge of the provider for the next sign-in.
    pub claims: Option<Arc<str>>,
    /// When the provider ends the grant unless it is renewed before.
    pub grant_expires_at: Option<OffsetDateTime>,
}

impl RefreshHistory {
    /// Returns `None` if all fields are empty.
    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// A credential as of one read.
#[derive(Debug)]
pub struct Snapshot {
    /// The account.
    pub account: AccountId,
    /// Workspace of the account.
    pub workspace: WorkspaceId,
    /// The access token, if one is stored that had not expired and can be opened.
    pub token: Option<HeldToken>,
    /// Scopes of the grant.
    pub granted_scopes: Arc<ScopeSet>,
    /// Increases with every new access token.
    pub version: i64,
    /// Results of earlier refreshes. Absent for most accounts, therefore boxed.
    pub history: Option<Box<RefreshHistory>>,
    /// Set if only a sign-in can revive the grant.
    pub dead: bool,
    /// Set if the account was revoked.
    pub erased: bool,
    /// Set if there is a refresh token.
    pub refreshable: bool,
    /// Number of the last change of the row of which replicas were notified.
    pub change_number: i64,
    /// Taken before the row was read: the data may be as old as this.
    pub read_at: Instant,
    /// Limits and circuit breakers of the provider.
    pub upstream: Arc<Upstream>,
    /// When the account was last requested.
    pub last_used: LastUsed,
}

impl Snapshot {
    /// The snapshot of a new account for tests: it has a refresh token and was never requested.
    #[cfg(test)]
    pub fn with_token(token: HeldToken, upstream: &Arc<Upstream>) -> Self {
        Self {
            account: AccountId::generate(),
            workspace: WorkspaceId::generate(),
            token: Some(token),
            granted_scopes: Arc::default(),
            version: 1,
            history: None,
            dead: false,
            erased: false,
            refreshable: true,
            change_number: 0,
            read_at: Instant::now(),
            upstream: Arc::clone(upstream),
            last_used: LastUsed::default(),
        }
    }

    /// The snapshot of a credential, whose access token is `token` in clear. `failure` is
    /// the failure that applies to this replica, with its back-off as of the read;
    /// `jitter` (0 to 1) spreads the refreshes of replicas and accounts.
    pub fn new(
        credential: &Credential,
        token: Option<AccessToken>,
        failure: Option<Failure>,
        upstream: Arc<Upstream>,
        granted_scopes: Arc<ScopeSet>,
        jitter: f64,
    ) -> Self {
        Self {
            account: credential.account,
            workspace: credential.binding.workspace,
            token: token.map(|token| hold(token, credential, jitter)),
            granted_scopes,
            version: credential.version,
            history: RefreshHistory {
                failure,
                force_in: credential.force_in,
                claims: credential.claims.as_deref().map(Arc::from),
                grant_expires_at: credential.grant_expires_at,
            }
            .boxed(),
            dead: credential.dead,
            erased: credential.erased,
            refreshable: credential.sealed_refresh_token.is_some(),
            change_number: credential.change_number,
            read_at: credential.read_at,
            upstream,
            last_used: LastUsed::default(),
        }
    }

    /// Provider of the grant.
    pub fn provider(&self) -> &ProviderName {
        self.upstream.provider()
    }

    /// The failure since the last success.
    pub fn failure(&self) -> Option<Failure> {
        self.history.as_ref()?.failure
    }

    /// Claims challenge of the provider for the next sign-in.
    pub fn claims(&self) -> Option<Arc<str>> {
        self.history.as_ref()?.claims.clone()
    }

    /// When the provider ends the grant unless it is renewed before. `None` if the
    /// provider does not state it.
    pub fn grant_expires_at(&self) -> Option<OffsetDateTime> {
        self.history.as_ref()?.grant_expires_at
    }

    /// Remaining back-off and its failure. `None` if the provider may be asked.
    pub fn backoff_left(&self) -> Option<(Failure, Duration)> {
        let failure = self.failure()?;
        let left = failure.retry_in.checked_sub(self.read_at.elapsed())?;
        (!left.is_zero()).then_some((failure, left))
    }

    /// Time during which no caller may force a refresh; zero if callers may.
    pub fn force_left(&self) -> Duration {
        self.history
            .as_ref()
            .map(|history| history.force_in.saturating_sub(self.read_at.elapsed()))
            .unwrap_or_default()
    }

    /// Returns `true` if the token is far from its expiry: a caller that wants another
    /// one forces a refresh.
    pub fn has_fresh_token(&self, now: OffsetDateTime) -> bool {
        let token = self.valid_token(now);
        token.is_some_and(|token| token.remaining(now) > token.soft_margin)
    }

    /// Whether the account's last refresh succeeded.
    pub fn health(&self) -> AccountHealth {
        if self.failure().is_none() {
            AccountHealth::Healthy
        } else {
            AccountHealth::Failing
        }
    }

    /// Returns why no request is sent for this account now. `None` if requests are sent.
    pub fn circuit_open(&self) -> Option<CircuitOpen> {
        self.upstream.circuit_open(self.health())
    }

    /// The token, unless it has expired.
    pub fn valid_token(&self, now: OffsetDateTime) -> Option<&HeldToken> {
        self.token.as_ref().filter(|token| token.expires_at > now)
    }
}

impl From<&Snapshot> for PolicyAttributes {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            workspace: snapshot.workspace,
            provider: snapshot.provider().clone(),
            granted_scopes: snapshot.granted_scopes.clone(),
        }
    }
}

/// When the access token of a credential expires. It is estimated if the provider did not state it.
pub fn expires_at(credential: &Credential) -> OffsetDateTime {
    let stated = credential.access_token_expires_at;
    stated.unwrap_or_else(|| credential.issued_at() + ASSUMED_LIFE)
}

fn hold(token: AccessToken, credential: &Credential, jitter: f64) -> HeldToken {
    let expires_at = expires_at(credential);
    let life = Duration::try_from(expires_at - credential.issued_at()).unwrap_or_default();
    HeldToken {
        token,
        expires_at,
        life,
        soft_margin: soft_margin(life, jitter),
    }
}

/// The remaining life with which a token is refreshed in any case; `jitter` from 0 to 1.
pub fn soft_margin(life: Duration, jitter: f64) -> Duration {
    let longest = (life / 5).min(MAX_SOFT_MARGIN);
    longest.mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0))
}
