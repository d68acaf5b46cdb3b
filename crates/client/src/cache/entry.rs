//! One account on the cache.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Context, Outcome, PendingFetch};
use crate::freshness::{Jitter, meets, meets_besides_life};
use crate::needs::Needs;
use crate::watch::WatchHandle;
use crate::{Token, TokenError};

/// Life below which a token is of no use to anybody.
const MIN_USABLE_LIFE: Duration = Duration::from_secs(5);
/// Own back-off where the service gives no RetryInfo: doubles from the first…
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// …up to the longest, for callers.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A RetryInfo beyond this is taken for a mistake.
const MAX_RETRY_INFO: Duration = Duration::from_mins(10);
/// No second refresh ahead within this after one that brought nothing new.
const REFRESH_AHEAD_PAUSE: Duration = Duration::from_secs(10);

/// What is known of an account.
#[derive(Default)]
pub(super) struct Entry {
    /// The cache's count of lookups when it was last asked for.
    pub(super) used: u64,
    cached: Option<CachedToken>,
    pending: Option<PendingFetch>,
    backoff: Option<Backoff>,
    failures: u32,
    ahead_paused_until: Option<Instant>,
    watch_handle: Option<WatchHandle>,
}

struct CachedToken {
    token: Token,
    /// When the service last answered with it.
    confirmed_at: OffsetDateTime,
}

impl CachedToken {
    /// A refused token gives way even to a lower version: an account that was
    /// erased and connected again may count from the start.
    fn supersedes(&self, other: &Token, now: OffsetDateTime) -> bool {
        let same_account = self.token.account_id() == other.account_id();
        let newer = self.token.version() > other.version() && !self.token.is_refused();
        let same = self.token.version() == other.version();
        same_account && (newer || same) && !self.token.remaining(now).is_zero()
    }
}

struct Backoff {
    until: Instant,
    error: TokenError,
}

impl Entry {
    /// The cached token where it meets what is wanted.
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

    /// The cached token where nothing better can be had.
    pub(super) fn still_valid(&self, wanted: &Needs, context: &Context<'_>) -> Option<Token> {
        let token = &self.cached.as_ref()?.token;
        let enough = if wanted.minimum_is_explicit {
            meets(token, wanted, context.now)
        } else {
            token.remaining(context.now) > MIN_USABLE_LIFE && meets_besides_life(token, wanted)
        };
        (enough && is_usable(token, context)).then(|| token.clone())
    }

    /// What to ask for ahead of need, where that is due.
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

    /// What is wanted, and newer than a cached token that was refused.
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

    /// The pending under way; one whose task was lost is none.
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

    /// True where it is this very pending that the account waits for.
    pub(super) fn is_pending(&self, pending: &PendingFetch) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|own| own.outcome.same_channel(&pending.outcome))
    }

    /// The error to answer until the pause is over, and when that is.
    pub(super) fn active_backoff(&self) -> Option<(TokenError, Instant)> {
        let backoff = self.backoff.as_ref()?;
        let remaining = backoff.until.checked_duration_since(Instant::now())?;
        let mut error = backoff.error.clone();
        if let TokenError::RetryLater { after, .. } = &mut error {
            *after = remaining;
        }
        (!remaining.is_zero()).then_some((error, backoff.until))
    }

    /// Takes in what a pending brought home.
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

    /// Takes in a token that came unasked, but not ahead of a pending, which
    /// knows what it was for.
    pub(super) fn receive(
        &mut self,
        context: &Context<'_>,
        make: impl FnOnce(bool) -> Option<Token>,
    ) {
        if self.pending().is_some() {
            return;
        }
        // Else each of many processes would replace the other's replacement
        // where the API refuses everything.
        let replacement = self.cached.as_ref().is_some_and(|cached| {
            let token = &cached.token;
            token.is_refused() || token.is_fresh_replacement(context.now, context.cool_down)
        });
        if let Some(token) = make(replacement) {
            self.keep(token, Duration::ZERO, context.now);
        }
    }

    /// Nothing worth its room.
    pub(super) fn is_empty(&self) -> bool {
        self.cached.is_none() && self.is_evictable() && self.backoff.is_none()
    }

    /// A pending must find its entry again.
    pub(super) fn is_evictable(&self) -> bool {
        self.pending.is_none()
    }

    pub(super) fn has_expired(&self, now: OffsetDateTime) -> bool {
        let expired = |cached: &CachedToken| cached.token.remaining(now).is_zero();
        self.is_evictable()
            && self.cached.as_ref().is_none_or(expired)
            && self.active_backoff().is_none()
    }

    /// Replicas may answer from caches of different age: an older token never
    /// replaces a newer one, and the same one stays the very same, so that a
    /// refusal of it is not forgotten.
    fn keep(&mut self, token: Token, asked_minimum: Duration, now: OffsetDateTime) -> Token {
        if let Some(cached) = self
            .cached
            .as_mut()
            .filter(|cached| cached.supersedes(&token, now))
        {
            if cached.token.version() == token.version() {
                cached.confirmed_at = now;
                if cached.token.remaining(now) < asked_minimum {
                    // The service has nothing better, and knows why.
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

    /// No asking again before the service's RetryInfo, or the own back-off, is
    /// over.
    fn back_off(&mut self, mut error: TokenError, jitter: Jitter) -> TokenError {
        self.failures = self.failures.saturating_add(1);
        let retry_info = error.retry_after().filter(|after| !after.is_zero());
        let random = jitter.fraction(&(self.used, self.failures));
        let pause = backoff_delay(self.failures, retry_info, MAX_BACKOFF, random);
        if let TokenError::RetryLater { after, .. } = &mut error {
            *after = pause;
        }
        self.backoff = Some(Backoff {
            until: Instant::now() + pause,
            error: error.clone(),
        });
        error
    }
}

/// Not refused by the provider's API, or so fresh that another exchange would
/// not help.
fn is_usable(token: &Token, context: &Context<'_>) -> bool {
    !token.is_refused() || token.is_fresh_replacement(context.now, context.cool_down)
}

/// How long to leave the service alone after so many failures in a row, where it
/// retry_info of a time and where not. Chance only ever adds: earlier than retry_info is too
/// early.
pub(crate) fn backoff_delay(
    failures: u32,
    retry_info: Option<Duration>,
    longest: Duration,
    random: f64,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    let own = (FIRST_BACKOFF * (1 << doublings)).min(longest);
    let (pause, share) = retry_info.map_or((own, 0.5), |after| (after.min(MAX_RETRY_INFO), 0.1));
    pause + pause.mul_f64(share * random)
}
