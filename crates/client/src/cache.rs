//! Cached tokens, pending fetches and back-offs under one lock: a lookup and the fetch
//! that it starts are one atomic step.

mod entry;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::freshness::{Jitter, Needs};
use crate::watch::WatchHandle;
use crate::{Account, Token, TokenError};
use entry::Entry;
pub(crate) use entry::{Context, Outcome, PendingFetch, backoff_delay};

/// A fetch that is registered as pending and must now be run.
pub(crate) struct FetchJob {
    pub(crate) account: Account,
    pub(crate) pending: PendingFetch,
    sender: watch::Sender<Option<Outcome>>,
}

/// Result of a lookup.
pub(crate) enum Lookup {
    /// A suitable token, and a refresh ahead to run in the background if one is due.
    Hit(Token, Option<FetchJob>),
    /// A pending fetch. `true` if it was started for the same needs.
    InFlight(PendingFetch, bool),
    /// No suitable token: the caller must run the fetch.
    Miss(FetchJob),
    /// The service or the provider asked for a back-off.
    BackingOff(TokenError, Instant),
}

/// The tokens of a process, at most `capacity`.
pub(crate) struct TokenCache {
    capacity: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_account: HashMap<Account, Entry>,
    /// Number of lookups: the order of use.
    lookups: u64,
}

impl TokenCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
        }
    }

    /// Looks up a token. There is at most one pending fetch per account.
    pub(crate) fn lookup(
        &self,
        account: &Account,
        wanted: &Needs,
        context: &Context<'_>,
    ) -> Lookup {
        let mut entries = self.lock();
        entries.lookups += 1;
        let lookups = entries.lookups;
        if !entries.by_account.contains_key(account) {
            entries.evict(self.capacity, context.now);
        }
        let entry = entries.by_account.entry(account.clone()).or_default();
        entry.used = lookups;
        if let Some(token) = entry.hit(wanted, context) {
            let ahead = entry
                .refresh_ahead(&token, wanted, context)
                .map(|needs| entry.begin_fetch(account, needs));
            return Lookup::Hit(token, ahead);
        }
        let needs = entry.needs_newer_than_refused(wanted, context);
        if let Some(pending) = entry.pending() {
            let same = pending.needs == needs;
            return Lookup::InFlight(pending, same);
        }
        if let Some((error, until)) = entry.active_backoff() {
            return Lookup::BackingOff(error, until);
        }
        Lookup::Miss(entry.begin_fetch(account, needs))
    }

    /// A token that is still valid, as a fallback.
    pub(crate) fn still_valid(
        &self,
        account: &Account,
        wanted: &Needs,
        context: &Context<'_>,
    ) -> Option<Token> {
        self.lock()
            .by_account
            .get(account)
            .and_then(|entry| entry.still_valid(wanted, context))
    }

    /// Stores the result of a fetch and notifies all who wait for it.
    pub(crate) fn complete(
        &self,
        job: FetchJob,
        outcome: Outcome,
        now: OffsetDateTime,
        jitter: Jitter,
    ) {
        let FetchJob {
            account,
            pending,
            sender,
        } = job;
        let mut entries = self.lock();
        let outcome = match entries.by_account.get_mut(&account) {
            // The account was forgotten meanwhile, or another fetch replaced this one.
            Some(entry) if !entry.is_pending(&pending) => outcome,
            None => outcome,
            Some(entry) => {
                let outcome = entry.complete(outcome, pending.needs.min_remaining, now, jitter);
                if entry.is_empty() {
                    entries.by_account.remove(&account);
                }
                outcome
            }
        };
        drop(entries);
        sender.send_replace(Some(outcome));
    }

    /// Starts a watch if the account has a token and no watch.
    pub(crate) fn watch(&self, account: &Account, start: impl FnOnce() -> WatchHandle) {
        if let Some(entry) = self.lock().by_account.get_mut(account) {
            entry.watch(start);
        }
    }

    /// Stores a token that a watch received. `make` gets `true` if it counts as the
    /// replacement of a refused one.
    pub(crate) fn receive(
        &self,
        account: &Account,
        context: &Context<'_>,
        make: impl FnOnce(bool) -> Option<Token>,
    ) {
        if let Some(entry) = self.lock().by_account.get_mut(account) {
            entry.receive(context, make);
        }
    }

    /// Number of the account's last lookup. `None` if it is not cached.
    pub(crate) fn uses(&self, account: &Account) -> Option<u64> {
        let entries = self.lock();
        entries.by_account.get(account).map(|entry| entry.used)
    }

    /// Removes everything about an account.
    pub(crate) fn forget(&self, account: &Account) {
        self.lock().by_account.remove(account);
    }

    /// Number of cached accounts.
    pub(crate) fn len(&self) -> usize {
        self.lock().by_account.len()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Evicts entries if the cache is full: first expired ones, then the least recently
    /// used sixteenth, so that sorting is rare.
    fn evict(&mut self, capacity: usize, now: OffsetDateTime) {
        if self.by_account.len() < capacity {
            return;
        }
        self.by_account.retain(|_, entry| !entry.has_expired(now));
        if self.by_account.len() < capacity {
            return;
        }
        let mut uses: Vec<u64> = self
            .by_account
            .values()
            .filter(|entry| entry.is_evictable())
            .map(|entry| entry.used)
            .collect();
        if uses.is_empty() {
            return;
        }
        let goes = (capacity / 16).min(uses.len() - 1);
        let (_, last, _) = uses.select_nth_unstable(goes);
        let last = *last;
        self.by_account
            .retain(|_, entry| entry.used > last || !entry.is_evictable());
    }
}

impl Entry {
    fn begin_fetch(&mut self, account: &Account, needs: Needs) -> FetchJob {
        let (sender, outcome) = watch::channel(None);
        let pending = PendingFetch { needs, outcome };
        self.set_pending(pending.clone());
        FetchJob {
            account: account.clone(),
            pending,
            sender,
        }
    }
}
