//! Cache of opened tokens: bounded, wiped on removal, invalidated when the row changes
//! and revalidated after a while. A lookup takes only the read lock of one shard,
//! because every call makes one. While heartbeats prove that notifications arrive,
//! entries are trusted for long: otherwise a hundred thousand accounts in use would
//! cause a hundred thousand reads every few seconds.
//!
//! The changes of an account have numbers. A row that was read before a change may arrive
//! here after its notification, and a replica is notified of its own changes too: the
//! number says whether the row is older than the change.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_domain::{AccountId, Handle, ProviderName, ScopeSet, WorkspaceId};
use quick_cache::sync::{Cache as Bounded, EntryAction, EntryResult};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::snapshot::Snapshot;

/// An account that is not requested for this long is dropped.
const IDLE: Duration = Duration::from_mins(30);

/// An entry is revalidated after this long although notifications arrive.
const MAX_TRUST: Duration = Duration::from_mins(10);

/// A look at all accounts pauses after this many, because it uses a core meanwhile, and calls wait for it:
/// entries are far apart in memory, and each takes some microseconds.
const ENTRIES_AT_ONCE: usize = 50;
/// Length of that pause.
const PAUSE: Duration = Duration::from_millis(5);
/// More accounts than [`ENTRIES_AT_ONCE`] are looked at between pauses if there would be more pauses than
/// this: twelve seconds of them.
const MOST_PAUSES: usize = 2_000;

/// The number of a notified change is kept for this long. A row whose read began longer ago
/// is not cached, so every row that is older than a forgotten change is refused. A read
/// and what is done with it before it is cached take a few seconds.
const NUMBERS_KEPT_FOR: Duration = Duration::from_mins(1);

/// The caller that probes the database has its answer within this time.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Limit of distinct scope lists that accounts share.
const MAX_SCOPE_LISTS: usize = 1_000;

/// Workspace, provider and handle.
type HandleKey = (WorkspaceId, ProviderName, Handle);

/// The account that a handle resolved to, and when.
#[derive(Debug, Clone, Copy)]
pub struct ResolvedHandle {
    /// The account.
    pub account: AccountId,
    read_at: Instant,
}

/// The latest change of an account of which a notification arrived.
#[derive(Debug, Clone, Copy)]
struct NotifiedChange {
    number: i64,
    at: Instant,
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    entries: Bounded<AccountId, Arc<Snapshot>>,
    /// Resolved handles. They are valid for as long as a row is.
    handles: Bounded<HandleKey, ResolvedHandle>,
    /// Interned scope lists: most accounts have the same scopes as many others.
    scope_lists: Mutex<HashSet<Arc<ScopeSet>>>,
    revalidate_after: Duration,
    /// Notifications of all changes before this instant have arrived.
    notified_until: Mutex<Option<Instant>>,
    /// Accounts that changed within [`NUMBERS_KEPT_FOR`]. No entry is older than its
    /// account's change here: the lock is held while entries are inserted and invalidated.
    changes: Mutex<HashMap<AccountId, NotifiedChange>>,
    /// Entries read before this instant are revalidated, because a notification may have
    /// been missed.
    distrusted_until: Mutex<Instant>,
    /// Set while the database is considered down.
    database_down_until: Mutex<Option<Instant>>,
}

impl Cache {
    /// Creates a cache of about `capacity` accounts. Entries older than
    /// `revalidate_after` are read again.
    pub fn new(capacity: usize, revalidate_after: Duration) -> Self {
        Self {
            entries: Bounded::new(capacity),
            handles: Bounded::new(capacity),
            scope_lists: Mutex::default(),
            revalidate_after,
            notified_until: Mutex::default(),
            changes: Mutex::default(),
            distrusted_until: Mutex::new(Instant::now()),
            database_down_until: Mutex::default(),
        }
    }

    /// Returns the entry of an account regardless of its age.
    pub fn get(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.entries.get(&account)
    }

    /// The same, and the account does not count as requested.
    pub fn peek(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.entries.peek(&account)
    }

    /// Returns `true` if the entry may be used without asking the database.
    pub fn is_valid(&self, snapshot: &Snapshot) -> bool {
        if snapshot.read_at <= *locked(&self.distrusted_until) {
            return false;
        }
        let age = snapshot.read_at.elapsed();
        age < self.revalidate_after || (age < MAX_TRUST && self.notifications_arrive())
    }

    /// Returns `true` if a heartbeat arrived within the revalidation time.
    fn notifications_arrive(&self) -> bool {
        locked(&self.notified_until)
            .is_some_and(|notified| notified.elapsed() < self.revalidate_after)
    }

    /// Records that the notifications of all changes committed before `sent` have
    /// arrived.
    pub fn notified_until(&self, sent: Instant) {
        *locked(&self.notified_until) = Some(sent);
        locked(&self.changes).retain(|_, change| change.at.elapsed() < NUMBERS_KEPT_FOR);
    }

    /// Inserts a snapshot, unless it is older than a notified change. An older snapshot
    /// never replaces a newer one: two concurrent reads may end in either order.
    pub fn insert(&self, snapshot: &Arc<Snapshot>) {
        let changes = locked(&self.changes);
        let is_outdated = changes
            .get(&snapshot.account)
            .is_some_and(|change| snapshot.change_number < change.number);
        if is_outdated || snapshot.read_at.elapsed() >= NUMBERS_KEPT_FOR {
            return;
        }
        // The version too: without triggers, changes have no numbers.
        let age_of = |it: &Snapshot| (it.version, it.change_number, it.read_at);
        let entry = self.entries.entry(&snapshot.account, None, |_, held| {
            snapshot.last_used.merge(&held.last_used);
            if age_of(held) <= age_of(snapshot) {
                *held = Arc::clone(snapshot);
            }
            EntryAction::Retain(())
        });
        if let EntryResult::Vacant(place) = entry {
            // Not refused: invalidations wait for the lock.
            let _ = place.insert(Arc::clone(snapshot));
        }
    }

    /// Removes the entry of an account if it is older than the account's change `number`,
    /// and refuses such rows from now on.
    pub fn invalidate(&self, account: AccountId, number: i64) {
        let mut changes = locked(&self.changes);
        let at = Instant::now();
        let change = changes
            .entry(account)
            .or_insert(NotifiedChange { number, at });
        // The change of this replica's own revocation is recorded before its notification
        // and those of earlier changes arrive.
        change.number = change.number.max(number);
        change.at = at;
        self.entries
            .remove_if(&account, |held| held.change_number < change.number);
    }

    /// Removes accounts and handles that were not requested for [`IDLE`].
    pub async fn drop_idle(&self, now: OffsetDateTime) {
        self.look_at_all(|snapshot| {
            let is_idle = |it: &Snapshot| !it.last_used.within(IDLE, now);
            if is_idle(&snapshot) {
                self.entries
                    .remove_if(&snapshot.account, |held| is_idle(held));
            }
        })
        .await;
        // The time is in the entry itself: a hundred thousand are read within some milliseconds, and a call
        // waits only for a part of them.
        let now = Instant::now();
        self.handles
            .retain(|_, resolved| now.saturating_duration_since(resolved.read_at) < IDLE);
    }

    /// Looks at every cached account, a few at a time. An account that is added or removed meanwhile
    /// may be missing.
    pub async fn look_at_all(&self, mut look: impl FnMut(Arc<Snapshot>)) {
        let at_once = ENTRIES_AT_ONCE.max(self.len() / MOST_PAUSES);
        for (number, (_, snapshot)) in self.entries.iter().enumerate() {
            if number % at_once == at_once - 1 {
                tokio::time::sleep(PAUSE).await;
            }
            look(snapshot);
        }
    }

    /// Number of cached accounts.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the account that a handle resolved to, regardless of its age.
    pub fn resolved(&self, place: &HandleKey) -> Option<ResolvedHandle> {
        self.handles.get(place)
    }

    /// Returns `true` if the resolved handle may be used without asking the database.
    pub fn is_recently_resolved(&self, resolved: &ResolvedHandle) -> bool {
        resolved.read_at > *locked(&self.distrusted_until)
            && resolved.read_at.elapsed() < self.revalidate_after
    }

    /// Caches the account of a handle.
    pub fn remember_handle(&self, place: HandleKey, account: AccountId, read_at: Instant) {
        self.handles
            .insert(place, ResolvedHandle { account, read_at });
    }

    /// Removes a handle.
    pub fn forget_handle(&self, place: &HandleKey) {
        self.handles.remove(place);
    }

    /// Returns the shared copy of a scope list.
    pub fn intern(&self, scopes: &ScopeSet) -> Arc<ScopeSet> {
        let mut lists = locked(&self.scope_lists);
        if let Some(held) = lists.get(scopes) {
            return Arc::clone(held);
        }
        let scopes = Arc::new(scopes.clone());
        if lists.len() < MAX_SCOPE_LISTS {
            lists.insert(Arc::clone(&scopes));
        }
        scopes
    }

    /// Age up to which an entry is used without revalidation and without notifications.
    pub fn revalidate_after(&self) -> Duration {
        self.revalidate_after
    }

    /// Causes every entry to be revalidated after notifications were missed.
    pub fn distrust_all(&self) {
        *locked(&self.distrusted_until) = Instant::now();
    }

    /// Marks the database as down for `pause`: valid tokens are answered from the cache
    /// without asking it.
    pub fn database_down_for(&self, pause: Duration) {
        *locked(&self.database_down_until) = Some(Instant::now() + pause);
    }

    /// Marks the database as up.
    pub fn database_up(&self) {
        *locked(&self.database_down_until) = None;
    }

    /// Returns `true` while valid tokens are answered without asking the database. After
    /// the pause exactly one caller gets `false` and probes the database, so the others
    /// do not wait.
    pub fn is_database_down(&self) -> bool {
        let mut until = locked(&self.database_down_until);
        let now = Instant::now();
        match *until {
            Some(end) if now < end => true,
            Some(end) if now < end + PROBE_TIMEOUT => {
                *until = Some(now + PROBE_TIMEOUT);
                false
            }
            // There was no probe for a while: the state of the database is unknown
            // again.
            _ => false,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
