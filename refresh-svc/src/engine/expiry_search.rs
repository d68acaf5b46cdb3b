//! The search for tokens that expire soon.
//!
//! A look at every cached account takes a core some ten milliseconds for each hundred thousand
//! accounts, and searches are frequent. So most searches look only at the accounts that the last
//! listing found: those whose token may be refreshed before the next listing.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;
use time::OffsetDateTime;

use super::Engine;
use super::pace::{Paces, early_margin};
use crate::snapshot::{HeldToken, Snapshot};

/// A listing is used for this part of the shortest life of a token, but not longer than
/// [`LISTED_FOR`]. A token that is issued after a listing is thus in the next one before it may be
/// refreshed, unless it is the first one that lives less than a minute.
const PART_OF_LIFE: u32 = 20;
const LISTED_FOR: Duration = Duration::from_secs(30);
/// A listing pauses after this many entries. All entries at once would use a core for longer than a
/// call takes, and calls wait for it.
const ENTRIES_AT_ONCE: usize = 500;
/// Length of that pause.
const PAUSE: Duration = Duration::from_millis(1);

/// What a search needs of the searches before.
#[derive(Debug, Default)]
pub(super) struct ExpirySearch {
    paces: Paces,
    listing: Listing,
}

/// Accounts in use whose token may be refreshed before the next listing.
#[derive(Debug, Default)]
struct Listing {
    accounts: Vec<AccountId>,
    /// Since when, by the clock of the engine, and for how long. Empty at first, and while no account
    /// is in use.
    used_for: Option<(OffsetDateTime, Duration)>,
}

impl Listing {
    /// Returns `false` also if the clock was set back.
    fn is_current(&self, now: OffsetDateTime) -> bool {
        self.used_for
            .is_some_and(|(since, used_for)| since <= now && now < since + used_for)
    }
}

impl ExpirySearch {
    /// Accounts in use whose token expires soon, the soonest first: those that cannot wait,
    /// and as many others as the pace of their provider allows. `elapsed` is the time since
    /// the last search. Blocks the thread while it lists.
    pub(super) fn due(&mut self, engine: &Engine, elapsed: Duration) -> Vec<Arc<Snapshot>> {
        let now = engine.parts.clock.now();
        if !self.listing.is_current(now) {
            self.list(engine, now);
        }
        let mut due = Vec::new();
        for account in &self.listing.accounts {
            let Some(snapshot) = engine.parts.cache.peek(*account) else {
                continue;
            };
            let Some(token) = token_in_use(engine, &snapshot, now) else {
                continue;
            };
            let remaining = token.remaining(now);
            let cannot_wait = remaining <= token.soft_margin;
            if remaining <= margin(&snapshot, token)
                && snapshot.backoff_left().is_none()
                // It would use up the pace and the limit again, and start nothing.
                && !engine.refreshes.is_running(snapshot.account)
            {
                due.push((remaining, cannot_wait, snapshot));
            }
        }
        due.sort_by_key(|(remaining, ..)| *remaining);
        self.paces.refill(elapsed);
        due.into_iter()
            .filter_map(|(_, cannot_wait, snapshot)| {
                let starts = self.paces.starts(snapshot.provider(), cannot_wait);
                starts.then_some(snapshot)
            })
            .collect()
    }

    /// Looks at every cached account.
    fn list(&mut self, engine: &Engine, now: OffsetDateTime) {
        self.listing.accounts.clear();
        self.paces.restart_count();
        let mut used_for = None;
        for (number, snapshot) in engine.parts.cache.snapshots().enumerate() {
            if number % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1 {
                std::thread::sleep(PAUSE);
            }
            let Some(token) = token_in_use(engine, &snapshot, now) else {
                continue;
            };
            self.paces.count(snapshot.provider(), token.life);
            if token.remaining(now) <= margin(&snapshot, token) + LISTED_FOR {
                self.listing.accounts.push(snapshot.account);
            }
            let shortest = used_for.unwrap_or(LISTED_FOR);
            used_for = Some(shortest.min(token.life / PART_OF_LIFE));
        }
        self.listing.used_for = used_for.map(|used_for| (now, used_for));
    }
}

/// The remaining life from which a token is refreshed if the pace allows it.
fn margin(snapshot: &Snapshot, token: &HeldToken) -> Duration {
    early_margin(snapshot.account, snapshot.version, token.life).max(token.soft_margin)
}

/// Returns the valid token of an account in use that can be refreshed. A refresh spares a
/// caller the wait. Expired tokens are left to callers: possibly nobody requests them
/// again.
fn token_in_use<'a>(
    engine: &Engine,
    snapshot: &'a Snapshot,
    now: OffsetDateTime,
) -> Option<&'a HeldToken> {
    let is_in_use = snapshot.refreshable
        && !snapshot.dead
        && !snapshot.erased
        && snapshot.last_used.within(engine.parts.ahead_window, now);
    snapshot.valid_token(now).filter(|_| is_in_use)
}

#[cfg(test)]
mod tests {
    use time::ext::NumericalDuration as _;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_listing_is_used_for_its_time_and_not_after_the_clock_was_set_back() {
        let since = datetime!(2026-11-29 12:00 UTC);
        assert!(!Listing::default().is_current(since));
        let listing = Listing {
            accounts: Vec::new(),
            used_for: Some((since, LISTED_FOR)),
        };
        for (later, is_current) in [(0, true), (29, true), (30, false), (-1, false)] {
            assert_eq!(
                listing.is_current(since + later.seconds()),
                is_current,
                "{later}"
            );
        }
    }
}
