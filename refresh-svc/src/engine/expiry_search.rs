//! The search for tokens that expire soon.
//!
//! A look at every cached account takes a core some hundred milliseconds for each hundred thousand
//! accounts, because they are far apart in memory. Searches are frequent, so they look only at what the
//! last listing found: the accounts whose token may be refreshed before the next listing.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;
use time::OffsetDateTime;

use super::Engine;
use super::pace::{Averages, Paces, early_margin};
use crate::snapshot::{HeldToken, Snapshot};

/// A listing is used for this part of the shortest life of a token, but not longer than
/// [`LISTED_FOR`]. A token that is issued after a listing is thus in the next one before it may be
/// refreshed, unless it is the first one that lives less than four minutes.
const PART_OF_LIFE: u32 = 20;
const LISTED_FOR: Duration = Duration::from_mins(2);

/// Accounts in use whose token may be refreshed before the next listing.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The accounts, and when each may be refreshed; the soonest is the last.
    accounts: Vec<(OffsetDateTime, AccountId)>,
    averages: Averages,
    /// How long the listing is used. `None` while no account is in use.
    pub(super) used_for: Option<Duration>,
}

impl Listing {
    /// Looks at every cached account, a few at a time.
    pub(super) async fn of(engine: &Engine) -> Self {
        let mut listing = Self::default();
        engine
            .parts
            .cache
            .look_at_all(|snapshot| {
                // The time of each look: a listing of a million accounts takes a while.
                let now = engine.parts.clock.now();
                if let Some(token) = token_in_use(engine, &snapshot, now) {
                    listing.add(&snapshot, token, now);
                }
            })
            .await;
        listing
            .accounts
            .sort_unstable_by(|one, other| other.cmp(one));
        listing
    }

    fn add(&mut self, snapshot: &Snapshot, token: &HeldToken, now: OffsetDateTime) {
        self.averages.count(snapshot.provider(), token.life);
        let used_for = self.used_for.unwrap_or(LISTED_FOR);
        self.used_for = Some(used_for.min(token.life / PART_OF_LIFE));
        let left = token.remaining(now).saturating_sub(margin(snapshot, token));
        // A listing takes some time itself, so it reaches twice as far as it is used.
        if left <= LISTED_FOR * 2 {
            self.accounts.push((now + left, snapshot.account));
        }
    }
}

/// What a search needs of the searches before.
#[derive(Debug, Default)]
pub(super) struct ExpirySearch {
    paces: Paces,
    /// Accounts whose time has not come; the soonest is the last.
    listed: Vec<(OffsetDateTime, AccountId)>,
    /// Accounts whose time has come, and which were not seen with a new token yet.
    waiting: Vec<AccountId>,
}

impl ExpirySearch {
    /// Uses this listing from now on.
    pub(super) fn replace_listing(&mut self, listing: Listing) {
        self.paces.set_averages(listing.averages);
        self.listed = listing.accounts;
        // The listing has those that still wait.
        self.waiting.clear();
    }

    /// Accounts in use whose token expires soon, the soonest first: those that cannot wait,
    /// and as many others as the pace of their provider allows. `elapsed` is the time since
    /// the last search.
    pub(super) fn due(&mut self, engine: &Engine, elapsed: Duration) -> Vec<Arc<Snapshot>> {
        let now = engine.parts.clock.now();
        while let Some((_, account)) = self.listed.pop_if(|(from, _)| *from <= now) {
            self.waiting.push(account);
        }
        let mut due = Vec::new();
        self.waiting.retain(|account| {
            let Some(snapshot) = engine.parts.cache.peek(*account) else {
                return false;
            };
            let Some(token) = token_in_use(engine, &snapshot, now) else {
                return false;
            };
            let remaining = token.remaining(now);
            if remaining > margin(&snapshot, token) {
                return false;
            }
            let cannot_wait = remaining <= token.soft_margin;
            if snapshot.backoff_left().is_none()
                // It would use up the pace and the limit again, and start nothing.
                && !engine.refreshes.is_running(snapshot.account)
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
