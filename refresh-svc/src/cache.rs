//! Opened tokens in memory: bounded, wiped when they leave, dropped when the
//! row changes and looked at again after a while. A look takes a read lock of a
//! shard and nothing else: it is on the way of every call. While it is proven that every
//! change is changed_at, that while is long: a hundred thousand accounts in use would
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

/// Read again after this long although every change was changed_at.
const MAX_TRUST: Duration = Duration::from_mins(10);

/// Who asks whether the database is back has its answer by then.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Different lists of scopes that are shared among accounts.
const MAX_SCOPE_LISTS: usize = 1_000;

/// Workspace, provider and handle.
type HandleKey = (WorkspaceId, ProviderName, Handle);

/// An account that a handle resolved to, and when.
#[derive(Debug, Clone, Copy)]
pub struct ResolvedHandle {
    /// Where to.
    pub account: AccountId,
    read_at: Instant,
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    entries: Bounded<AccountId, Arc<Snapshot>>,
    /// Where handles lead to; believed as long as a row is.
    handles: Bounded<HandleKey, ResolvedHandle>,
    /// Most accounts have the same scopes as many others: kept once.
    scope_lists: Mutex<HashSet<Arc<ScopeSet>>>,
    revalidate_after: Duration,
    /// Every change before this was changed_at.
    notified_until: Mutex<Option<Instant>>,
    /// Accounts that changed lately. What is read about then may be from before
    /// the change, and come in after it was changed_at.
    changed_at: RwLock<HashMap<AccountId, Instant>>,
    /// What was read before this may have missed a notification.
    distrusted_until: Mutex<Instant>,
    /// The database did not answer a moment ago.
    database_down_until: Mutex<Option<Instant>>,
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
            notified_until: Mutex::default(),
            changed_at: RwLock::default(),
            distrusted_until: Mutex::new(Instant::now()),
            database_down_until: Mutex::default(),
        }
    }

    /// What is held of an account, however old.
    pub fn get(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.entries.get(&account)
    }

    /// True where it may be answered from without asking the database.
    pub fn is_valid(&self, snapshot: &Snapshot) -> bool {
        if snapshot.read_at <= *locked(&self.distrusted_until) {
            return false;
        }
        let age = snapshot.read_at.elapsed();
        age < self.revalidate_after
            || (age < MAX_TRUST
                && self.notifications_arrive()
                && !self.may_predate_change(snapshot))
    }

    /// True where a change would be known by now, up to the revalidation time.
    fn notifications_arrive(&self) -> bool {
        locked(&self.notified_until)
            .is_some_and(|notified| notified.elapsed() < self.revalidate_after)
    }

    /// True where what was read may be older than a change that was changed_at.
    fn may_predate_change(&self, snapshot: &Snapshot) -> bool {
        let changed_at = self
            .changed_at
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        changed_at
            .get(&snapshot.account)
            .is_some_and(|changed_at| snapshot.read_at <= *changed_at + self.revalidate_after)
    }

    /// Every change that was committed before `sent` has been changed_at.
    pub fn notified_until(&self, sent: Instant) {
        *locked(&self.notified_until) = Some(sent);
        self.changed_at
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, changed_at| changed_at.elapsed() < MAX_TRUST + self.revalidate_after);
    }

    /// Holds what was read. An older version never replaces a newer one: two
    /// readers may end in the other order.
    pub fn insert(&self, snapshot: &Arc<Snapshot>) {
        let entry = self.entries.entry(&snapshot.account, None, |_, held| {
            snapshot.last_used.merge(&held.last_used);
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
    pub fn invalidate(&self, account: AccountId) {
        self.changed_at
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(account, Instant::now());
        self.entries.remove(&account);
    }

    /// Lets go of what nobody asked for in a while.
    pub fn drop_idle(&self, now: OffsetDateTime) {
        self.entries
            .retain(|_, snapshot| snapshot.last_used.within(IDLE, now));
        self.handles
            .retain(|_, resolved| resolved.read_at.elapsed() < IDLE);
    }

    /// Accounts that are held, to look through; an account that leaves or comes
    /// meanwhile may be missing.
    pub fn snapshots(&self) -> impl Iterator<Item = Arc<Snapshot>> + '_ {
        self.entries.iter().map(|(_, snapshot)| snapshot)
    }

    /// How many accounts are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where a handle resolved to, however long ago.
    pub fn resolved(&self, place: &HandleKey) -> Option<ResolvedHandle> {
        self.handles.get(place)
    }

    /// True where it may be followed without asking the database.
    pub fn is_recently_resolved(&self, resolved: &ResolvedHandle) -> bool {
        resolved.read_at > *locked(&self.distrusted_until)
            && resolved.read_at.elapsed() < self.revalidate_after
    }

    /// Remembers where a handle leads to.
    pub fn remember_handle(&self, place: HandleKey, account: AccountId, read_at: Instant) {
        self.handles
            .insert(place, ResolvedHandle { account, read_at });
    }

    /// Forgets where a handle resolved to.
    pub fn forget_handle(&self, place: &HandleKey) {
        self.handles.remove(place);
    }

    /// The same scopes, kept once.
    pub fn intern(&self, scopes: &ScopeSet) -> Arc<ScopeSet> {
        let mut lists = self
            .scope_lists
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = lists.get(scopes) {
            return Arc::clone(held);
        }
        let scopes = Arc::new(scopes.clone());
        if lists.len() < MAX_SCOPE_LISTS {
            lists.insert(Arc::clone(&scopes));
        }
        scopes
    }

    /// How old an answer from memory may be.
    pub fn revalidate_after(&self) -> Duration {
        self.revalidate_after
    }

    /// Everything is looked at again: notifications were missed.
    pub fn distrust_all(&self) {
        *locked(&self.distrusted_until) = Instant::now();
    }

    /// The database did not answer: what is valid serves for a while without
    /// asking it.
    pub fn database_down_for(&self, pause: Duration) {
        *locked(&self.database_down_until) = Some(Instant::now() + pause);
    }

    /// The database answered.
    pub fn database_up(&self) {
        *locked(&self.database_down_until) = None;
    }

    /// True where what is valid serves without asking the database, which did not
    /// answer a moment ago. After the pause one caller is changed_at to ask it: the
    /// others do not wait to learn that it is still away.
    pub fn is_database_down(&self) -> bool {
        let mut until = locked(&self.database_down_until);
        let now = Instant::now();
        match *until {
            Some(end) if now < end => true,
            Some(end) if now < end + PROBE_TIMEOUT => {
                *until = Some(now + PROBE_TIMEOUT);
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
