//! When a token is good enough, when it is refreshed ahead, and chance.

use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher as _, RandomState};
use std::time::Duration;

use time::OffsetDateTime;

use crate::Token;
use crate::needs::Needs;
use crate::request::LONGEST_MINIMUM;

/// Margins of a token's life.
#[derive(Debug, Clone)]
pub(crate) struct Freshness {
    pub(crate) soft_margin: Duration,
    pub(crate) confirm_after: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            soft_margin: Duration::from_mins(5),
            confirm_after: Duration::from_mins(5),
        }
    }
}

impl Freshness {
    /// When a token in use is refreshed in the background, ahead of the minimum
    /// that callers want: at min(soft margin, 20 % of its life), four to six
    /// fifths of it by jitter.
    pub(crate) fn ahead(&self, token: &Token, min_remaining: Duration, jitter: Jitter) -> Ahead {
        let chance = jitter.fraction(&(token.account_id(), token.version()));
        let margin = self.soft_margin.min(token.life() / 5);
        let threshold = least(token, min_remaining) + margin.mul_f64(0.8 + 0.4 * chance);
        Ahead {
            threshold,
            // More than the present token has, or it would be answered again.
            ask: threshold.max(min_remaining).min(LONGEST_MINIMUM),
        }
    }
}

/// A refresh ahead of need.
pub(crate) struct Ahead {
    /// Remaining life at which it is due.
    pub(crate) threshold: Duration,
    /// Life to ask for.
    pub(crate) ask: Duration,
}

/// True where the token gives what is needed.
pub(crate) fn meets(token: &Token, needs: &Needs, now: OffsetDateTime) -> bool {
    let remaining = token.remaining(now);
    remaining > Duration::ZERO
        && remaining >= least(token, needs.min_remaining)
        && meets_besides_life(token, needs)
}

/// True where the token gives what is needed, its remaining life aside.
pub(crate) fn meets_besides_life(token: &Token, needs: &Needs) -> bool {
    token.granted_scopes().missing(&needs.scopes).is_empty()
        && needs
            .newer_than
            .is_none_or(|refused| token.version() > refused)
}

/// The service gave its best and it was less than asked for: the provider's
/// tokens live that short. Half of their life must do, or every call would
/// cause a refresh.
fn least(token: &Token, min_remaining: Duration) -> Duration {
    if token.life() < token.asked_minimum() {
        min_remaining.min(token.life() / 2)
    } else {
        min_remaining
    }
}

/// Chance that follows from a seed and from what it is for: no generator to
/// lock, and the same again in a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jitter {
    seed: u64,
}

impl Jitter {
    /// Seeded once by the operating system.
    pub(crate) fn from_process() -> Self {
        Self::from_seed(RandomState::new().hash_one(0_u8))
    }

    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { seed }
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn fraction(self, of: &impl Hash) -> f64 {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        of.hash(&mut hasher);
        let bits = u32::try_from(hasher.finish() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}
