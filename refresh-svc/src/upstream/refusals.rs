//! Detects bursts of refused grants: a state machine without I/O.
//!
//! A provider that refuses grant after grant and serves none does not accept the client
//! any more. Marking these grants as dead would ask everybody to sign in again without
//! any effect.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// This many accounts may lose their grants independently; more are a burst.
const MAX_REFUSALS: usize = 10;
/// Older refusals are ignored.
const WINDOW_AGE: Duration = Duration::from_mins(10);

/// Accounts whose grants were refused since one was last served.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    refused: HashMap<u64, Instant>,
    burst: bool,
}

/// Whether a refusal is part of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Burst {
    /// Not part of a burst.
    No,
    /// The burst begins with this refusal.
    Begins,
    /// The burst continues.
    GoesOn,
}

impl Refusals {
    /// Records that the grant of an account was refused.
    pub(super) fn record_refused(&mut self, account: u64, now: Instant) -> Burst {
        if self.burst {
            return Burst::GoesOn;
        }
        self.refused
            .retain(|_, at| now.duration_since(*at) < WINDOW_AGE);
        self.refused.insert(account, now);
        self.burst = self.refused.len() > MAX_REFUSALS;
        if self.burst { Burst::Begins } else { Burst::No }
    }

    /// Records that a grant was served: the provider accepts the client.
    pub(super) fn record_served(&mut self) {
        self.burst = false;
        self.refused.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_without_a_success_are_a_burst_until_one_succeeds() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        for account in 0..10 {
            assert_eq!(
                refusals.record_refused(account, now),
                Burst::No,
                "{account}"
            );
        }
        // A repeated refusal of one account is counted once.
        assert_eq!(refusals.record_refused(0, now), Burst::No);
        assert_eq!(refusals.record_refused(10, now), Burst::Begins);
        assert_eq!(
            refusals.record_refused(11, now + WINDOW_AGE * 9),
            Burst::GoesOn
        );
        refusals.record_served();
        assert_eq!(refusals.record_refused(12, now), Burst::No);
    }

    #[test]
    fn refusals_over_a_day_are_no_burst() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        for account in 0_u32..100 {
            let at = now + Duration::from_mins(2) * account;
            assert_eq!(refusals.record_refused(account.into(), at), Burst::No);
        }
    }
}
