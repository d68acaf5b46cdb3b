//! Opened tokens in memory: bounded, wiped when they leave, dropped when the
//! row changes and looked at again after a while. A look takes a read lock of a
//! shard and nothing else: it is on the way of every call. While it is proven that every
//! change is told, that while is long: a hundred thousand accounts in use would
//! otherwise be a hundred thousand reads every few seconds.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use latchkey_domain::{AccountId, Handle, ProviderName, ScopeSet, WorkspaceId};
use quick_cache::sync::{Cache as Bounded, EntryAction, EntryResult};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::snapshot::Snapshot;

/// An account that nobody asks for leaves after this long.
const IDLE: Duration = Duration::from_mins(30);

/// Read again after this long although every change was told.
const LONGEST_TRUST: Duration = Duration::from_mins(10);

/// Who asks whether the database is back has its answer by then.
const PROBE: Duration = Duration::from_secs(1);

/// Different lists of scopes that are shared among accounts.
const MOST_SCOPE_LISTS: usize = 1_000;

/// Workspace, provider and handle.
type Place = (WorkspaceId, ProviderName, Handle);

/// An account that a handle led to, and when.
#[derive(Debug, Clone, Copy)]
pub struct Led {
    /// Where to.
    pub account: AccountId,
    read_at: Instant,
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    entries: Bounded<AccountId, Arc<Snapshot>>,
    /// Where handles lead to; believed as long as a row is.
    handles: Bounded<Place, Led>,
    /// Most accounts have the same scopes as many others: kept once.
    scope_lists: Mutex<HashSet<Arc<ScopeSet>>>,
    revalidate_after: Duration,
    /// Every change before this was told.
    heard_until: Mutex<Option<Instant>>,
    /// Accounts that changed lately. What is read about then may be from before
    /// the change, and come in after it was told.
    told: RwLock<HashMap<AccountId, Instant>>,
    /// What was read before this may have missed a notification.
    doubted_until: Mutex<Instant>,
    /// The database did not answer a moment ago.
    cut_off_until: Mutex<Option<Instant>>,
}

impl Cache {
    /// A cache of at most about `capacity` accounts. What is older than
    /// `revalidate_after` is read again.
    pub fn new(capacity: usize, revalidate_after: Duration) -> Self {
        Self {
            entries: Bounded::new(capacity),
            handles: Bounded::new(capacity),
            scope_lists: Mutex::default(),
            revalidate_after,
            heard_until: Mutex::default(),
            told: RwLock::default(),
            doubted_until: Mutex::new(Instant::now()),
            cut_off_until: Mutex::default(),
        }
    }

    /// What is held of an account, however old.
    pub fn get(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.entries.get(&account)
    }

    /// True where it may be answered from without asking the database.
    pub fn is_young(&self, snapshot: &Snapshot) -> bool {
        if snapshot.read_at <= *locked(&self.doubted_until) {
            return false;
        }
        let age = snapshot.read_at.elapsed();
        age < self.revalidate_after
            || (age < LONGEST_TRUST && self.hears_every_change() && !self.told_about(snapshot))
    }

    /// True where a change would be known by now, up to the revalidation time.
    fn hears_every_change(&self) -> bool {
        locked(&self.heard_until).is_some_and(|heard| heard.elapsed() < self.revalidate_after)
    }

    /// True where what was read may be older than a change that was told.
    fn told_about(&self, snapshot: &Snapshot) -> bool {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner);
        told.get(&snapshot.account)
            .is_some_and(|told| snapshot.read_at <= *told + self.revalidate_after)
    }

    /// Every change that was committed before `sent` has been told.
    pub fn heard_until(&self, sent: Instant) {
        *locked(&self.heard_until) = Some(sent);
        self.told
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, told| told.elapsed() < LONGEST_TRUST + self.revalidate_after);
    }

    /// Holds what was read. An older version never replaces a newer one: two
    /// readers may end in the other order.
    pub fn put(&self, snapshot: &Arc<Snapshot>) {
        let entry = self.entries.entry(&snapshot.account, None, |_, held| {
            snapshot.in_use.take_over(&held.in_use);
            if (held.version, held.read_at) <= (snapshot.version, snapshot.read_at) {
                *held = Arc::clone(snapshot);
            }
            EntryAction::Retain(())
        });
        if let EntryResult::Vacant(place) = entry {
            // Refused only where the account was forgotten meanwhile.
            let _ = place.insert(Arc::clone(snapshot));
        }
    }

    /// Drops an account: it changed.
    pub fn forget(&self, account: AccountId) {
        self.told
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(account, Instant::now());
        self.entries.remove(&account);
    }

    /// Lets go of what nobody asked for in a while.
    pub fn drop_idle(&self, now: OffsetDateTime) {
        self.entries
            .retain(|_, snapshot| snapshot.in_use.within(IDLE, now));
        self.handles.retain(|_, led| led.read_at.elapsed() < IDLE);
    }

    /// Accounts that are held, to look through; an account that leaves or comes
    /// meanwhile may be missing.
    pub fn held(&self) -> impl Iterator<Item = Arc<Snapshot>> + '_ {
        self.entries.iter().map(|(_, snapshot)| snapshot)
    }

    /// How many accounts are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where a handle led to, however long ago.
    pub fn led(&self, place: &Place) -> Option<Led> {
        self.handles.get(place)
    }

    /// True where it may be followed without asking the database.
    pub fn is_led_lately(&self, led: &Led) -> bool {
        led.read_at > *locked(&self.doubted_until) && led.read_at.elapsed() < self.revalidate_after
    }

    /// Remembers where a handle leads to.
    pub fn lead(&self, place: Place, account: AccountId, read_at: Instant) {
        self.handles.insert(place, Led { account, read_at });
    }

    /// Forgets where a handle led to.
    pub fn mislead(&self, place: &Place) {
        self.handles.remove(place);
    }

    /// The same scopes, kept once.
    pub fn share(&self, scopes: &ScopeSet) -> Arc<ScopeSet> {
        let mut lists = self
            .scope_lists
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = lists.get(scopes) {
            return Arc::clone(held);
        }
        let scopes = Arc::new(scopes.clone());
        if lists.len() < MOST_SCOPE_LISTS {
            lists.insert(Arc::clone(&scopes));
        }
        scopes
    }

    /// How old an answer from memory may be.
    pub fn revalidate_after(&self) -> Duration {
        self.revalidate_after
    }

    /// Everything is looked at again: notifications were missed.
    pub fn doubt_everything(&self) {
        *locked(&self.doubted_until) = Instant::now();
    }

    /// The database did not answer: what is valid serves for a while without
    /// asking it.
    pub fn cut_off_for(&self, pause: Duration) {
        *locked(&self.cut_off_until) = Some(Instant::now() + pause);
    }

    /// The database answered.
    pub fn reached(&self) {
        *locked(&self.cut_off_until) = None;
    }

    /// True where what is valid serves without asking the database, which did not
    /// answer a moment ago. After the pause one caller is told to ask it: the
    /// others do not wait to learn that it is still away.
    pub fn is_cut_off(&self) -> bool {
        let mut until = locked(&self.cut_off_until);
        let now = Instant::now();
        match *until {
            Some(end) if now < end => true,
            Some(end) if now < end + PROBE => {
                *until = Some(now + PROBE);
                false
            }
            // Nobody asked for longer: nothing is known of the database any more.
            _ => false,
        }
    }
}

fn locked<T>(instant: &Mutex<T>) -> MutexGuard<'_, T> {
    instant.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
