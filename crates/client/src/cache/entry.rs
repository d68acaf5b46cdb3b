//! The cache entry of one account.

use std::time::Duration;

use latchkey_domain::Backoff;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::freshness::{Freshness, Jitter, Needs, meets, meets_besides_life};
use crate::watch::WatchHandle;
use crate::{Token, TokenError};

/// A token with less remaining life is not used.
const MIN_USABLE_LIFE: Duration = Duration::from_secs(5);
/// Between two calls to the service, for callers, if it sends no RetryInfo.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5))
    .unwrap()
    .lengthened_by(50);
/// Bounds of a RetryInfo; one of zero is ignored. Jitter only lengthens it.
const HINTS: Backoff = Backoff::new(Duration::from_nanos(1), Duration::from_mins(10))
    .unwrap()
    .lengthened_by(10);
/// After a refresh ahead that returned the same token, the next one waits this long.
const REFRESH_AHEAD_PAUSE: Duration = Duration::from_secs(10);

/// Result of a fetch.
pub(crate) type Outcome = Result<Token, TokenError>;

/// A call to the service that is running for an account.
#[derive(Clone)]
pub(crate) struct PendingFetch {
    pub(crate) needs: Needs,
    pub(crate) outcome: watch::Receiver<Option<Outcome>>,
}

/// Time and settings of a lookup.
pub(crate) struct Context<'a> {
    pub(crate) now: OffsetDateTime,
    pub(crate) freshness: &'a Freshness,
    pub(crate) jitter: Jitter,
    pub(crate) cool_down: Duration,
    /// `false` if the limit of background refreshes is reached.
    pub(crate) may_refresh_ahead: bool,
}

/// State of an account.
#[derive(Default)]
pub(super) struct Entry {
    /// Number of the last lookup.
    pub(super) used: u64,
    cached: Option<CachedToken>,
    pending: Option<PendingFetch>,
    backoff: Option<ActiveBackoff>,
    failures: u32,
    ahead_paused_until: Option<Instant>,
    watch_handle: Option<WatchHandle>,
}

struct CachedToken {
    token: Token,
    /// When the service last returned this token.
    confirmed_at: OffsetDateTime,
}

impl CachedToken {
    /// A refused token is replaced even by a lower version: an account that was erased
    /// and connected again may start counting anew.
    fn supersedes(&self, other: &Token, now: OffsetDateTime) -> bool {
        let same_account = self.token.account_id() == other.account_id();
        let newer = self.token.version() > other.version() && !self.token.is_refused();
        let same = self.token.version() == other.version();
        same_account && (newer || same) && !self.token.remaining(now).is_zero()
    }
}

struct ActiveBackoff {
    until: Instant,
    error: TokenError,
}

impl Entry {
    /// The cached token if it meets the needs.
    pub(super) fn hit(&self, wanted: &Needs, context: &Context<'_>) -> Option<Token> {
        let cached = self.cached.as_ref()?;
        if wanted.newer_than == Some(cached.token.version()) {
            cached.token.refused();
        }
        let confirmed = context.now - cached.confirmed_at < context.freshness.confirm_after;
        (confirmed
            && is_usable(&cached.token, context)
            && meets(&cached.token, wanted, context.now))
        .then(|| cached.token.clone())
    }

    /// The cached token as a fallback.
    pub(super) fn still_valid(&self, wanted: &Needs, context: &Context<'_>) -> Option<Token> {
        let token = &self.cached.as_ref()?.token;
        let enough = if wanted.minimum_is_explicit {
            meets(token, wanted, context.now)
        } else {
            token.remaining(context.now) > MIN_USABLE_LIFE && meets_besides_life(token, wanted)
        };
        (enough && is_usable(token, context)).then(|| token.clone())
    }

    /// The needs of a refresh ahead if one is due.
    pub(super) fn refresh_ahead(
        &self,
        token: &Token,
        wanted: &Needs,
        context: &Context<'_>,
    ) -> Option<Needs> {
        let paused = self
            .ahead_paused_until
            .is_some_and(|until| Instant::now() < until);
        if !context.may_refresh_ahead
            || paused
            || self.pending.is_some()
            || self.active_backoff().is_some()
        {
            return None;
        }
        let ahead = context
            .freshness
            .refresh_ahead(token, wanted.min_remaining, context.jitter);
        (token.remaining(context.now) <= ahead.threshold).then(|| Needs {
            min_remaining: ahead.ask,
            newer_than: None,
            ..wanted.clone()
        })
    }

    /// The needs, with a version newer than a refused cached token.
    pub(super) fn needs_newer_than_refused(&self, wanted: &Needs, context: &Context<'_>) -> Needs {
        let refused = self
            .cached
            .as_ref()
            .filter(|cached| !is_usable(&cached.token, context))
            .map(|cached| cached.token.version());
        Needs {
            newer_than: wanted.newer_than.max(refused),
            ..wanted.clone()
        }
    }

    /// The pending fetch. A fetch whose task was lost is removed.
    pub(super) fn pending(&mut self) -> Option<PendingFetch> {
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.outcome.has_changed().is_err())
        {
            self.pending = None;
        }
        self.pending.clone()
    }

    pub(super) fn set_pending(&mut self, pending: PendingFetch) {
        self.pending = Some(pending);
    }

    /// Returns `true` if this fetch is the pending one.
    pub(super) fn is_pending(&self, pending: &PendingFetch) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|own| own.outcome.same_channel(&pending.outcome))
    }

    /// The error to return during the back-off, and when it ends.
    pub(super) fn active_backoff(&self) -> Option<(TokenError, Instant)> {
        let backoff = self.backoff.as_ref()?;
        let remaining = backoff.until.checked_duration_since(Instant::now())?;
        let mut error = backoff.error.clone();
        if let TokenError::RetryLater { after, .. } = &mut error {
            *after = remaining;
        }
        (!remaining.is_zero()).then_some((error, backoff.until))
    }

    /// Stores the result of a fetch.
    pub(super) fn complete(
        &mut self,
        outcome: Outcome,
        asked_minimum: Duration,
        now: OffsetDateTime,
        jitter: Jitter,
    ) -> Outcome {
        self.pending = None;
        let error = match outcome {
            Ok(token) => {
                self.backoff = None;
                self.failures = 0;
                return Ok(self.keep(token, asked_minimum, now));
            }
            Err(error) => error,
        };
        if error.invalidates_cached_token() {
            self.cached = None;
        }
        if error.allows_cached_token() {
            return Err(self.back_off(error, jitter));
        }
        self.backoff = None;
        Err(error)
    }

    pub(super) fn watch(&mut self, start: impl FnOnce() -> WatchHandle) {
        let watched = self
            .watch_handle
            .as_ref()
            .is_some_and(WatchHandle::is_running);
        if self.cached.is_some() && !watched {
            self.watch_handle = Some(start());
        }
    }

    /// Stores a token that a watch received, unless a fetch is pending: only the fetch
    /// knows whether it replaces a refused token.
    pub(super) fn receive(
        &mut self,
        context: &Context<'_>,
        make: impl FnOnce(bool) -> Option<Token>,
    ) {
        if self.pending().is_some() {
            return;
        }
        // Otherwise, if an API refuses every token, each of many processes would replace
        // the replacements of the others.
        let replacement = self.cached.as_ref().is_some_and(|cached| {
            let token = &cached.token;
            token.is_refused() || token.is_fresh_replacement(context.now, context.cool_down)
        });
        if let Some(token) = make(replacement) {
            self.keep(token, Duration::ZERO, context.now);
        }
    }

    /// Returns `true` if the entry holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.cached.is_none() && self.is_evictable() && self.backoff.is_none()
    }

    /// Returns `true` if no fetch is pending: a fetch must find its entry again.
    pub(super) fn is_evictable(&self) -> bool {
        self.pending.is_none()
    }

    pub(super) fn has_expired(&self, now: OffsetDateTime) -> bool {
        let expired = |cached: &CachedToken| cached.token.remaining(now).is_zero();
        self.is_evictable()
            && self.cached.as_ref().is_none_or(expired)
            && self.active_backoff().is_none()
    }

    /// Replicas may answer from caches of different age: an older token never replaces a
    /// newer one. The same token keeps its identity, so that a refusal of it is not
    /// lost.
    fn keep(&mut self, token: Token, asked_minimum: Duration, now: OffsetDateTime) -> Token {
        if let Some(cached) = self
            .cached
            .as_mut()
            .filter(|cached| cached.supersedes(&token, now))
        {
            if cached.token.version() == token.version() {
                cached.confirmed_at = now;
                if cached.token.remaining(now) < asked_minimum {
                    // The service has no better token at the moment.
                    self.ahead_paused_until = Some(Instant::now() + REFRESH_AHEAD_PAUSE);
                }
            }
            return cached.token.clone();
        }
        self.cached = Some(CachedToken {
            token: token.clone(),
            confirmed_at: now,
        });
        token
    }

    /// Starts a back-off: by the service's RetryInfo, else by the client's own.
    fn back_off(&mut self, mut error: TokenError, jitter: Jitter) -> TokenError {
        self.failures = self.failures.saturating_add(1);
        let random = jitter.fraction(&(self.used, self.failures));
        let pause = backoff_delay(self.failures, &error, BACKOFF, random);
        if let TokenError::RetryLater { after, .. } = &mut error {
            *after = pause;
        }
        self.backoff = Some(ActiveBackoff {
            until: Instant::now() + pause,
            error: error.clone(),
        });
        error
    }
}

/// Returns `true` if the provider's API has not refused the token, or if it is so fresh
/// that another replacement would not help.
fn is_usable(token: &Token, context: &Context<'_>) -> bool {
    !token.is_refused() || token.is_fresh_replacement(context.now, context.cool_down)
}

/// The wait after `failures` failures in a row: as the service asks in RetryInfo, or else by
/// `backoff`.
pub(crate) fn backoff_delay(
    failures: u32,
    error: &TokenError,
    backoff: Backoff,
    random: f64,
) -> Duration {
    let retry_info = error.retry_after().filter(|after| !after.is_zero());
    retry_info.map_or_else(
        || backoff.wait(failures, random),
        |after| HINTS.wait_as_hinted(after, random),
    )
}
