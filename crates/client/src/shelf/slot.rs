//! One account on the shelf.

use std::time::Duration;

use latchkey_domain::Backoff;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Flight, Moment, Outcome};
use crate::freshness::{Jitter, meets, meets_besides_life};
use crate::needs::Needs;
use crate::watch::Watching;
use crate::{Token, TokenError};

/// Life below which a token is of no use to anybody.
const LAST_SECONDS: Duration = Duration::from_secs(5);
/// Between two calls to the service, for callers, if it sends no RetryInfo.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5))
    .unwrap()
    .lengthened_by(50);
/// Bounds of a RetryInfo: a longer one is taken for a mistake. Jitter only lengthens it.
const HINTS: Backoff = Backoff::new(Duration::from_nanos(1), Duration::from_mins(10))
    .unwrap()
    .lengthened_by(10);
/// No second refresh ahead within this after one that brought nothing new.
const AHEAD_PAUSE: Duration = Duration::from_secs(10);

/// What is known of an account.
#[derive(Default)]
pub(super) struct Slot {
    /// The shelf's count of looks when it was last asked for.
    pub(super) used: u64,
    kept: Option<Kept>,
    flight: Option<Flight>,
    hold_off: Option<HoldOff>,
    failures: u32,
    ahead_paused_until: Option<Instant>,
    watching: Option<Watching>,
}

struct Kept {
    token: Token,
    /// When the service last answered with it.
    confirmed_at: OffsetDateTime,
}

impl Kept {
    /// A refused token gives way even to a lower version: an account that was
    /// erased and connected again may count from the start.
    fn outlasts(&self, other: &Token, now: OffsetDateTime) -> bool {
        let same_account = self.token.account_id() == other.account_id();
        let newer = self.token.version() > other.version() && !self.token.is_refused();
        let same = self.token.version() == other.version();
        same_account && (newer || same) && !self.token.remaining(now).is_zero()
    }
}

struct HoldOff {
    until: Instant,
    error: TokenError,
}

impl Slot {
    /// The kept token where it meets what is wanted.
    pub(super) fn ready(&self, wanted: &Needs, moment: &Moment<'_>) -> Option<Token> {
        let kept = self.kept.as_ref()?;
        if wanted.newer_than == Some(kept.token.version()) {
            kept.token.refused();
        }
        let confirmed = moment.now - kept.confirmed_at < moment.freshness.confirm_after;
        (confirmed && usable(&kept.token, moment) && meets(&kept.token, wanted, moment.now))
            .then(|| kept.token.clone())
    }

    /// The kept token where nothing better can be had.
    pub(super) fn still_valid(&self, wanted: &Needs, moment: &Moment<'_>) -> Option<Token> {
        let token = &self.kept.as_ref()?.token;
        let enough = if wanted.insists {
            meets(token, wanted, moment.now)
        } else {
            token.remaining(moment.now) > LAST_SECONDS && meets_besides_life(token, wanted)
        };
        (enough && usable(token, moment)).then(|| token.clone())
    }

    /// What to ask for ahead of need, where that is due.
    pub(super) fn ahead(
        &self,
        token: &Token,
        wanted: &Needs,
        moment: &Moment<'_>,
    ) -> Option<Needs> {
        let paused = self
            .ahead_paused_until
            .is_some_and(|until| Instant::now() < until);
        if !moment.may_fly_ahead || paused || self.flight.is_some() || self.held_off().is_some() {
            return None;
        }
        let ahead = moment
            .freshness
            .ahead(token, wanted.min_remaining, moment.jitter);
        (token.remaining(moment.now) <= ahead.threshold).then(|| Needs {
            min_remaining: ahead.ask,
            newer_than: None,
            ..wanted.clone()
        })
    }

    /// What is wanted, and newer than a kept token that was refused.
    pub(super) fn needs_beyond_the_refused(&self, wanted: &Needs, moment: &Moment<'_>) -> Needs {
        let refused = self
            .kept
            .as_ref()
            .filter(|kept| !usable(&kept.token, moment))
            .map(|kept| kept.token.version());
        Needs {
            newer_than: wanted.newer_than.max(refused),
            ..wanted.clone()
        }
    }

    /// The flight under way; one whose task was lost is none.
    pub(super) fn flight(&mut self) -> Option<Flight> {
        if self
            .flight
            .as_ref()
            .is_some_and(|flight| flight.landed.has_changed().is_err())
        {
            self.flight = None;
        }
        self.flight.clone()
    }

    pub(super) fn take_off(&mut self, flight: Flight) {
        self.flight = Some(flight);
    }

    /// True where it is this very flight that the account waits for.
    pub(super) fn expects(&self, flight: &Flight) -> bool {
        self.flight
            .as_ref()
            .is_some_and(|own| own.landed.same_channel(&flight.landed))
    }

    /// The error to answer until the pause is over, and when that is.
    pub(super) fn held_off(&self) -> Option<(TokenError, Instant)> {
        let hold_off = self.hold_off.as_ref()?;
        let remaining = hold_off.until.checked_duration_since(Instant::now())?;
        let mut error = hold_off.error.clone();
        if let TokenError::RetryLater { after, .. } = &mut error {
            *after = remaining;
        }
        (!remaining.is_zero()).then_some((error, hold_off.until))
    }

    /// Takes in what a flight brought home.
    pub(super) fn land(
        &mut self,
        outcome: Outcome,
        asked_minimum: Duration,
        now: OffsetDateTime,
        jitter: Jitter,
    ) -> Outcome {
        self.flight = None;
        let error = match outcome {
            Ok(token) => {
                self.hold_off = None;
                self.failures = 0;
                return Ok(self.keep(token, asked_minimum, now));
            }
            Err(error) => error,
        };
        if error.condemns_the_token() {
            self.kept = None;
        }
        if error.spares_the_grant() {
            return Err(self.pause(error, jitter));
        }
        self.hold_off = None;
        Err(error)
    }

    pub(super) fn watch(&mut self, start: impl FnOnce() -> Watching) {
        let watched = self.watching.as_ref().is_some_and(Watching::goes_on);
        if self.kept.is_some() && !watched {
            self.watching = Some(start());
        }
    }

    /// Takes in a token that came unasked, but not ahead of a flight, which
    /// knows what it was for.
    pub(super) fn told(&mut self, moment: &Moment<'_>, make: impl FnOnce(bool) -> Option<Token>) {
        if self.flight().is_some() {
            return;
        }
        // Else each of many processes would replace the other's replacement
        // where the API refuses everything.
        let replacement = self.kept.as_ref().is_some_and(|kept| {
            let token = &kept.token;
            token.is_refused() || token.is_fresh_replacement(moment.now, moment.cool_down)
        });
        if let Some(token) = make(replacement) {
            self.keep(token, Duration::ZERO, moment.now);
        }
    }

    /// Nothing worth its room.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_none() && self.may_go() && self.hold_off.is_none()
    }

    /// A flight must find its slot again.
    pub(super) fn may_go(&self) -> bool {
        self.flight.is_none()
    }

    pub(super) fn has_expired(&self, now: OffsetDateTime) -> bool {
        let expired = |kept: &Kept| kept.token.remaining(now).is_zero();
        self.may_go() && self.kept.as_ref().is_none_or(expired) && self.held_off().is_none()
    }

    /// Replicas may answer from caches of different age: an older token never
    /// replaces a newer one, and the same one stays the very same, so that a
    /// refusal of it is not forgotten.
    fn keep(&mut self, token: Token, asked_minimum: Duration, now: OffsetDateTime) -> Token {
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.outlasts(&token, now)) {
            if kept.token.version() == token.version() {
                kept.confirmed_at = now;
                if kept.token.remaining(now) < asked_minimum {
                    // The service has nothing better, and knows why.
                    self.ahead_paused_until = Some(Instant::now() + AHEAD_PAUSE);
                }
            }
            return kept.token.clone();
        }
        self.kept = Some(Kept {
            token: token.clone(),
            confirmed_at: now,
        });
        token
    }

    /// No asking again before the service's RetryInfo, or the own back-off, is
    /// over.
    fn pause(&mut self, mut error: TokenError, jitter: Jitter) -> TokenError {
        self.failures = self.failures.saturating_add(1);
        let told = error.retry_after().filter(|after| !after.is_zero());
        let chance = jitter.fraction(&(self.used, self.failures));
        let pause = pause_after(self.failures, told, BACKOFF, chance);
        if let TokenError::RetryLater { after, .. } = &mut error {
            *after = pause;
        }
        self.hold_off = Some(HoldOff {
            until: Instant::now() + pause,
            error: error.clone(),
        });
        error
    }
}

/// Not refused by the provider's API, or so fresh that another exchange would
/// not help.
fn usable(token: &Token, moment: &Moment<'_>) -> bool {
    !token.is_refused() || token.is_fresh_replacement(moment.now, moment.cool_down)
}

/// The wait after `failures` failures in a row: as the service asks, or else by `backoff`.
pub(crate) fn pause_after(
    failures: u32,
    told: Option<Duration>,
    backoff: Backoff,
    chance: f64,
) -> Duration {
    told.map_or_else(
        || backoff.wait(failures, chance),
        |after| HINTS.wait_as_hinted(after, chance),
    )
}
