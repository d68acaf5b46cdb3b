//! Tokens cached, flights under way and pauses, under one lock: what a caller
//! sees and what it starts are decided in one step.

mod entry;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::freshness::{Freshness, Jitter};
use crate::needs::Needs;
use crate::watch::WatchHandle;
use crate::{Account, Token, TokenError};
use entry::Entry;
pub(crate) use entry::backoff_delay;

/// What a pending brought home.
pub(crate) type Outcome = Result<Token, TokenError>;

/// A call to the service that is under way for an account.
#[derive(Clone)]
pub(crate) struct PendingFetch {
    pub(crate) needs: Needs,
    pub(crate) outcome: watch::Receiver<Option<Outcome>>,
}

/// A pending that was entered in the book and must now be flown.
pub(crate) struct FetchJob {
    pub(crate) account: Account,
    pub(crate) pending: PendingFetch,
    sender: watch::Sender<Option<Outcome>>,
}

/// What a caller finds.
pub(crate) enum Lookup {
    /// A token that will do, and a refresh ahead of need to fly behind the
    /// caller's back.
    Hit(Token, Option<FetchJob>),
    /// Somebody's pending; true where it brings what this caller needs.
    InFlight(PendingFetch, bool),
    /// Nothing: fly.
    Miss(FetchJob),
    /// The service, or the provider behind it, asked for a pause.
    BackingOff(TokenError, Instant),
}

/// The present, and the rules.
pub(crate) struct Context<'a> {
    pub(crate) now: OffsetDateTime,
    pub(crate) freshness: &'a Freshness,
    pub(crate) jitter: Jitter,
    pub(crate) cool_down: Duration,
    /// False while enough background refreshes are under way.
    pub(crate) may_refresh_ahead: bool,
}

/// The tokens of a process, at most `capacity`.
pub(crate) struct TokenCache {
    capacity: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_account: HashMap<Account, Entry>,
    /// Counts lookups: the order of use.
    lookups: u64,
}

impl TokenCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
        }
    }

    /// What there is for a caller. At most one pending per account is under way.
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

    /// A token that is still valid, for want of a better one.
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

    /// Keeps what a pending brought home and tells all who wait for it.
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
            // The account was forgotten on the way, or another pending took over.
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

    /// Has an account watched that has a token and is not watched.
    pub(crate) fn watch(&self, account: &Account, start: impl FnOnce() -> WatchHandle) {
        if let Some(entry) = self.lock().by_account.get_mut(account) {
            entry.watch(start);
        }
    }

    /// Takes in a token that came unasked. `make` is retry_info whether it is to count
    /// as the replacement of a refused one.
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

    /// Grows with every look for the account; nothing where it is not cached.
    pub(crate) fn uses(&self, account: &Account) -> Option<u64> {
        let entries = self.lock();
        entries.by_account.get(account).map(|entry| entry.used)
    }

    /// Drops all that is known of an account.
    pub(crate) fn forget(&self, account: &Account) {
        self.lock().by_account.remove(account);
    }

    /// Accounts on the cache.
    pub(crate) fn len(&self) -> usize {
        self.lock().by_account.len()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Room for one more: what has expired goes first, then a sixteenth of the
    /// cache, longest unused, so that the sorting is paid for rarely.
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
