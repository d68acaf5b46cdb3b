//! The search for tokens that expire soon.
//!
//! A look at every cached account takes a core some hundreds of milliseconds for each hundred thousand
//! accounts, because they are far apart in memory. Searches are frequent, so they look only at what the
//! last listing found: the accounts whose token may be refreshed before the next listing.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{AccountId, Clock};
use time::OffsetDateTime;

use super::pace::{Averages, Paces, early_margin};
use super::single_flight::SingleFlight;
use crate::cache::Cache;
use crate::snapshot::{HeldToken, Snapshot};

/// A listing is used for this part of the shortest life of a token, but not longer than
/// [`LISTED_FOR`], and for the time that the next one takes. A token that is issued after a listing is
/// thus in the next one before it may be refreshed, unless it is the first one that lives less than
/// four minutes.
const PART_OF_LIFE: u32 = 20;
const LISTED_FOR: Duration = Duration::from_mins(2);
/// How far ahead a listing looks: it takes some time itself, and so does the next one.
const REACH: Duration = LISTED_FOR.saturating_mul(2);

/// What listings and searches look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) cache: &'a Cache,
    pub(super) running: &'a SingleFlight,
    /// An account that was requested within this time is in use.
    pub(super) in_use_for: Duration,
}

impl View<'_> {
    /// Returns the valid token of an account in use that can be refreshed. A refresh spares a
    /// caller the wait. Expired tokens are left to callers: possibly nobody requests them
    /// again.
    fn token_in_use<'a>(
        &self,
        snapshot: &'a Snapshot,
        now: OffsetDateTime,
    ) -> Option<&'a HeldToken> {
        let is_in_use = snapshot.refreshable
            && !snapshot.dead
            && !snapshot.erased
            && snapshot.last_used.within(self.in_use_for, now);
        snapshot.valid_token(now).filter(|_| is_in_use)
    }
}

/// Accounts by the time from which their token may be refreshed.
type Schedule = BTreeSet<(OffsetDateTime, AccountId)>;

/// Accounts in use whose token may be refreshed before the next listing.
#[derive(Debug)]
pub(super) struct Listing {
    scheduled: Schedule,
    averages: Averages,
    /// When the listing is used: from its beginning on, by the clock. Empty while no account is in use.
    pub(super) used: Range<OffsetDateTime>,
}

impl Listing {
    /// Looks at every cached account, a few at a time.
    pub(super) async fn of(view: View<'_>, clock: &dyn Clock) -> Self {
        let began = clock.now();
        let mut scheduled = Schedule::new();
        let mut averages = Averages::default();
        let mut shortest_life = None;
        view.cache
            .look_at_all(|snapshot| {
                let now = clock.now();
                let Some(token) = view.token_in_use(&snapshot, now) else {
                    return;
                };
                averages.count(snapshot.provider(), token.life);
                shortest_life = Some(token.life.min(shortest_life.unwrap_or(token.life)));
                let from = may_be_refreshed_from(&snapshot, token);
                if from <= now + REACH {
                    scheduled.insert((from, snapshot.account));
                }
            })
            .await;
        let used_for =
            shortest_life.map_or(Duration::ZERO, |life| LISTED_FOR.min(life / PART_OF_LIFE));
        Self {
            scheduled,
            averages,
            used: began..began + used_for,
        }
    }
}

/// What a search needs of the searches before.
#[derive(Debug, Default)]
pub(super) struct ExpirySearch {
    paces: Paces,
    /// Accounts whose time has not come.
    scheduled: Schedule,
    /// Accounts whose time has come, and which were not seen with a new token yet.
    waiting: HashSet<AccountId>,
}

impl ExpirySearch {
    /// Uses this listing from now on. It has the accounts that still wait, too.
    pub(super) fn replace_listing(&mut self, listing: Listing) {
        self.paces.set_averages(listing.averages);
        self.scheduled = listing.scheduled;
        self.waiting.clear();
    }

    /// Accounts in use whose token expires soon, the soonest first: those that cannot wait,
    /// and as many others as the pace of their provider allows. `elapsed` is the time since
    /// the last search.
    pub(super) fn due(
        &mut self,
        view: View<'_>,
        now: OffsetDateTime,
        elapsed: Duration,
    ) -> Vec<Arc<Snapshot>> {
        while let Some(&(from, account)) = self.scheduled.first()
            && from <= now
        {
            self.scheduled.pop_first();
            self.waiting.insert(account);
        }
        let mut due = Vec::new();
        self.waiting.retain(|account| {
            let Some(snapshot) = view.cache.peek(*account) else {
                return false;
            };
            let Some(token) = view.token_in_use(&snapshot, now) else {
                return false;
            };
            let from = may_be_refreshed_from(&snapshot, token);
            if from > now {
                // It has a new token, which may be a short-lived one.
                self.scheduled.insert((from, *account));
                return false;
            }
            let remaining = token.remaining(now);
            let cannot_wait = remaining <= token.soft_margin;
            if snapshot.backoff_left().is_none()
                // It would use up the pace and the limit again, and start nothing.
                && !view.running.is_running(*account)
            {
                due.push((remaining, cannot_wait, snapshot));
            }
            true
        });
        due.sort_by_key(|(remaining, ..)| *remaining);
        self.paces.refill(elapsed);
        due.into_iter()
            .filter_map(|(_, cannot_wait, snapshot)| {
                let starts = self.paces.starts(snapshot.provider(), cannot_wait);
                starts.then_some(snapshot)
            })
            .collect()
    }
}

/// When a token may be refreshed if the pace allows it.
fn may_be_refreshed_from(snapshot: &Snapshot, token: &HeldToken) -> OffsetDateTime {
    let early = early_margin(snapshot.account, snapshot.version, token.life);
    token.expires_at - early.max(token.soft_margin)
}

#[cfg(test)]
#[path = "expiry_search/tests.rs"]
mod tests;
