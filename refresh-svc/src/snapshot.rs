//! A credential as callers are answered from it: opened, kept in memory only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_domain::{AccessToken, AccountId, ProviderName, ScopeSet, WorkspaceId};
use latchkey_opening::OpeningKeys;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::store::{Credential, Failure, PolicyAttributes};
use crate::upstream::{AccountHealth, CircuitOpen, Upstream};

/// Assumed life of an access token where the provider does not say
/// (RFC 6749 section 5.1 only recommends `expires_in`). Short: a token that is
/// refreshed too early costs a request, one that is answered too late a failure.
pub const ASSUMED_LIFE: Duration = Duration::from_mins(10);

/// Longest soft margin.
const MAX_SOFT_MARGIN: Duration = Duration::from_mins(5);

/// An access token in clear. Wiped when dropped.
#[derive(Debug, Clone)]
pub struct HeldToken {
    /// The token.
    pub token: AccessToken,
    /// When it expires.
    pub expires_at: OffsetDateTime,
    /// How long it lives from its issue.
    pub life: Duration,
    /// With less left than this, a new one is fetched behind the caller's back.
    pub soft_margin: Duration,
}

impl HeldToken {
    /// What is left of its life; zero where it has expired.
    pub fn remaining(&self, now: OffsetDateTime) -> Duration {
        Duration::try_from(self.expires_at - now).unwrap_or_default()
    }
}

/// When somebody last asked for an account, in seconds of the engine's clock.
#[derive(Debug, Default)]
pub struct LastUsed(AtomicU64);

impl LastUsed {
    /// Somebody asks now.
    pub fn touch(&self, now: OffsetDateTime) {
        let now = now.unix_timestamp().unsigned_abs();
        // A shared line of memory is written once a second, not once a call.
        if self.0.load(Ordering::Relaxed) != now {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    /// What was known before a newer look at the account.
    pub fn merge(&self, earlier: &Self) {
        self.0
            .fetch_max(earlier.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// True where somebody asked within this time.
    pub fn within(&self, window: Duration, now: OffsetDateTime) -> bool {
        let asked = self.0.load(Ordering::Relaxed);
        asked != 0 && now.unix_timestamp().unsigned_abs().saturating_sub(asked) < window.as_secs()
    }
}

/// What earlier refreshes leave for later calls to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshHistory {
    /// Failure since the last success, its pause as of the time of the read.
    pub failure: Option<Failure>,
    /// No caller forces a refresh before this much time has passed since the read.
    pub force_in: Duration,
    /// What the provider asks of the person at the next sign-in (a claims challenge).
    pub claims: Option<Arc<str>>,
    /// When the provider ends the grant unless it is renewed before.
    pub grant_expires_at: Option<OffsetDateTime>,
}

impl RefreshHistory {
    /// Returns nothing if there is nothing to know.
    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// A credential at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Whose.
    pub account: AccountId,
    /// Where the account is.
    pub workspace: WorkspaceId,
    /// The access token, where one is held and opens.
    pub token: Option<HeldToken>,
    /// Scopes of the grant.
    pub granted_scopes: Arc<ScopeSet>,
    /// Grows with every new access token.
    pub version: i64,
    /// What earlier refreshes left behind; absent for most accounts, which is why it is
    /// stored apart.
    pub history: Option<Box<RefreshHistory>>,
    /// True where only the person can revive the grant.
    pub dead: bool,
    /// True where the account was revoked.
    pub erased: bool,
    /// True where a refresh is possible at all.
    pub refreshable: bool,
    /// Before the row was read: what it says may be as old as this.
    pub read_at: Instant,
    /// Way to the provider.
    pub upstream: Arc<Upstream>,
    /// When somebody last asked.
    pub last_used: LastUsed,
}

impl Snapshot {
    /// Opens a credential. `failure` is the one that counts for this replica, with
    /// its pause as of the moment when the credential was read; `jitter` of 0 to 1 keeps replicas and accounts from
    /// refreshing in step.
    pub fn open(
        credential: &Credential,
        failure: Option<Failure>,
        keys: &OpeningKeys,
        upstream: Arc<Upstream>,
        granted_scopes: Arc<ScopeSet>,
        jitter: f64,
    ) -> Self {
        let token = credential.sealed_access_token.as_deref().and_then(|sealed| {
            match keys.open_access_token(sealed, &credential.binding) {
                Ok(token) => Some(hold(token, credential, jitter)),
                Err(error) => {
                    // The refresh token may still open; if not, the refresh says so.
                    tracing::error!(account.id = %credential.account, %error, "a stored access token does not open");
                    None
                }
            }
        });
        Self {
            account: credential.account,
            workspace: credential.binding.workspace,
            token,
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

    /// What the provider asks of the person at the next sign-in (a claims challenge).
    pub fn claims(&self) -> Option<Arc<str>> {
        self.history.as_ref()?.claims.clone()
    }

    /// When the provider ends the grant unless it is renewed before; absent where it does
    /// not say.
    pub fn grant_expires_at(&self) -> Option<OffsetDateTime> {
        self.history.as_ref()?.grant_expires_at
    }

    /// How long the provider must not be asked yet; nothing where it may be.
    pub fn backoff_left(&self) -> Option<(Failure, Duration)> {
        let failure = self.failure()?;
        let left = failure.retry_in.checked_sub(self.read_at.elapsed())?;
        (!left.is_zero()).then_some((failure, left))
    }

    /// How long no caller may force a refresh; zero where one may.
    pub fn force_left(&self) -> Duration {
        self.history
            .as_ref()
            .map(|history| history.force_in.saturating_sub(self.read_at.elapsed()))
            .unwrap_or_default()
    }

    /// Returns `true` if the token is far from its end: whoever wants another one forces
    /// a refresh.
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

    /// Why no request goes out for this account now; nothing where one may.
    pub fn circuit_open(&self) -> Option<CircuitOpen> {
        self.upstream.circuit_open(self.health())
    }

    /// The token, where it has not expired.
    pub fn valid_token(&self, now: OffsetDateTime) -> Option<&HeldToken> {
        self.token
            .as_ref()
            .filter(|token| !token.remaining(now).is_zero())
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

fn hold(token: AccessToken, credential: &Credential, jitter: f64) -> HeldToken {
    let issued_at = credential.issued_at();
    let expires_at = credential
        .access_token_expires_at
        .unwrap_or(issued_at + ASSUMED_LIFE);
    let life = Duration::try_from(expires_at - issued_at).unwrap_or_default();
    let soft_margin = (life / 5).min(MAX_SOFT_MARGIN);
    HeldToken {
        token,
        expires_at,
        life,
        soft_margin: soft_margin.mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0)),
    }
}
