//! Spreads the refreshes ahead of expiry evenly in time.
//!
//! Tokens that were issued at the same time, such as after an outage of their provider,
//! would otherwise be refreshed at the same time from then on, in each life again. Each
//! token may be refreshed from a point of its own, and a search starts only somewhat more
//! refreshes than the average. So a backlog is worked off slowly, while the old tokens
//! are still valid. `pace/tests.rs` simulates it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use latchkey_domain::{AccountId, ProviderName};

/// Tokens that live longer are treated as if they lived this long.
const LONGEST: Duration = Duration::from_hours(1);
/// Range of the remaining life, as parts of the whole, from which a token may be
/// refreshed. The lower end leaves ten minutes of an hour, after which an outage has no
/// effect, until the refresh cannot wait any longer.
const LATEST: f64 = 0.25;
const EARLIEST: f64 = 0.4;
/// Refreshes that are started, by the average number. More works off a backlog faster,
/// and the peak is higher.
const PEAK: f64 = 1.15;

/// The remaining life from which a token may be refreshed. It is the same in every
/// replica, and another one for each token.
pub(super) fn early_margin(account: AccountId, version: i64, life: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (account.as_uuid(), version).hash(&mut hasher);
    let [share, ..] = hasher.finish().to_be_bytes();
    let share = f64::from(share) / f64::from(u8::MAX);
    life.min(LONGEST)
        .mul_f64(LATEST + (EARLIEST - LATEST) * share)
}

/// Average time from the issue of a token until it may be refreshed.
fn interval(life: Duration) -> Duration {
    let margin = life.min(LONGEST).mul_f64(f64::midpoint(LATEST, EARLIEST));
    life.saturating_sub(margin).max(Duration::from_secs(1))
}

/// Average refreshes per second of the accounts in use, for each provider.
#[derive(Debug, Default)]
pub(super) struct Averages(HashMap<ProviderName, f64>);

impl Averages {
    /// Counts an account in use with a token of this life.
    pub(super) fn count(&mut self, provider: &ProviderName, life: Duration) {
        let one = interval(life).as_secs_f64().recip();
        if let Some(average) = self.0.get_mut(provider) {
            *average += one;
        } else {
            self.0.insert(provider.clone(), one);
        }
    }
}

/// How many refreshes ahead of expiry may start, for each provider.
#[derive(Debug, Default)]
pub(super) struct Paces(HashMap<ProviderName, Pace>);

#[derive(Debug, Default)]
struct Pace {
    /// Average refreshes per second.
    average: f64,
    /// Refreshes that may start. Below zero after refreshes that could not wait.
    left: f64,
}

impl Paces {
    /// Keeps this pace from now on.
    pub(super) fn set_averages(&mut self, Averages(averages): Averages) {
        self.0.retain(|provider, _| averages.contains_key(provider));
        for (provider, average) in averages {
            self.0.entry(provider).or_default().average = average;
        }
    }

    /// Allows the refreshes of the time since the last search.
    pub(super) fn refill(&mut self, elapsed: Duration) {
        for pace in self.0.values_mut() {
            let more = PEAK * pace.average * elapsed.as_secs_f64();
            // Nothing is saved for later but one refresh and what is not a whole one.
            pace.left = (pace.left + more).clamp(-more, more + 1.0);
        }
    }

    /// Returns `true` if a refresh may start. One that cannot wait starts always, and delays
    /// later ones.
    pub(super) fn starts(&mut self, provider: &ProviderName, cannot_wait: bool) -> bool {
        let Some(pace) = self.0.get_mut(provider) else {
            return cannot_wait;
        };
        let starts = cannot_wait || pace.left >= 1.0;
        if starts {
            pace.left -= 1.0;
        }
        starts
    }
}

#[cfg(test)]
#[path = "pace/tests.rs"]
mod tests;
