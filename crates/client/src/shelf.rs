//! Tokens kept, flights under way and pauses, under one lock: what a caller
//! sees and what it starts are decided in one step.

mod slot;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::freshness::{Freshness, Jitter};
use crate::needs::Needs;
use crate::watch::Watching;
use crate::{Account, Token, TokenError};
use slot::Slot;
pub(crate) use slot::pause_after;

/// What a flight brought home.
pub(crate) type Outcome = Result<Token, TokenError>;

/// A call to the service that is under way for an account.
#[derive(Clone)]
pub(crate) struct Flight {
    pub(crate) needs: Needs,
    pub(crate) landed: watch::Receiver<Option<Outcome>>,
}

/// A flight that was entered in the book and must now be flown.
pub(crate) struct Departure {
    pub(crate) account: Account,
    pub(crate) flight: Flight,
    landing: watch::Sender<Option<Outcome>>,
}

/// What a caller finds.
pub(crate) enum Look {
    /// A token that will do, and a refresh ahead of need to fly behind the
    /// caller's back.
    Ready(Token, Option<Departure>),
    /// Somebody's flight; true where it brings what this caller needs.
    Aloft(Flight, bool),
    /// Nothing: fly.
    Departs(Departure),
    /// The service, or the provider behind it, asked for a pause.
    HeldOff(TokenError, Instant),
}

/// The present, and the rules.
pub(crate) struct Moment<'a> {
    pub(crate) now: OffsetDateTime,
    pub(crate) freshness: &'a Freshness,
    pub(crate) jitter: Jitter,
    pub(crate) cool_down: Duration,
    /// False while enough background refreshes are under way.
    pub(crate) may_fly_ahead: bool,
}

/// The tokens of a process, at most `capacity`.
pub(crate) struct Shelf {
    capacity: usize,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_account: HashMap<Account, Slot>,
    /// Counts looks: the order of use.
    looks: u64,
}

impl Shelf {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            slots: Mutex::default(),
        }
    }

    /// What there is for a caller. At most one flight per account is under way.
    pub(crate) fn look(&self, account: &Account, wanted: &Needs, moment: &Moment<'_>) -> Look {
        let mut slots = self.lock();
        slots.looks += 1;
        let looks = slots.looks;
        if !slots.by_account.contains_key(account) {
            slots.make_room(self.capacity, moment.now);
        }
        let slot = slots.by_account.entry(account.clone()).or_default();
        slot.used = looks;
        if let Some(token) = slot.ready(wanted, moment) {
            let ahead = slot
                .ahead(&token, wanted, moment)
                .map(|needs| slot.depart(account, needs));
            return Look::Ready(token, ahead);
        }
        let needs = slot.needs_beyond_the_refused(wanted, moment);
        if let Some(flight) = slot.flight() {
            let same = flight.needs == needs;
            return Look::Aloft(flight, same);
        }
        if let Some((error, until)) = slot.held_off() {
            return Look::HeldOff(error, until);
        }
        Look::Departs(slot.depart(account, needs))
    }

    /// A token that is still valid, for want of a better one.
    pub(crate) fn still_valid(
        &self,
        account: &Account,
        wanted: &Needs,
        moment: &Moment<'_>,
    ) -> Option<Token> {
        self.lock()
            .by_account
            .get(account)
            .and_then(|slot| slot.still_valid(wanted, moment))
    }

    /// Keeps what a flight brought home and tells all who wait for it.
    pub(crate) fn land(
        &self,
        departure: Departure,
        outcome: Outcome,
        now: OffsetDateTime,
        jitter: Jitter,
    ) {
        let Departure {
            account,
            flight,
            landing,
        } = departure;
        let mut slots = self.lock();
        let outcome = match slots.by_account.get_mut(&account) {
            // The account was forgotten on the way, or another flight took over.
            Some(slot) if !slot.expects(&flight) => outcome,
            None => outcome,
            Some(slot) => {
                let outcome = slot.land(outcome, flight.needs.min_remaining, now, jitter);
                if slot.is_empty() {
                    slots.by_account.remove(&account);
                }
                outcome
            }
        };
        drop(slots);
        landing.send_replace(Some(outcome));
    }

    /// Has an account watched that has a token and is not watched.
    pub(crate) fn watch(&self, account: &Account, start: impl FnOnce() -> Watching) {
        if let Some(slot) = self.lock().by_account.get_mut(account) {
            slot.watch(start);
        }
    }

    /// Takes in a token that came unasked. `make` is told whether it is to count
    /// as the replacement of a refused one.
    pub(crate) fn told(
        &self,
        account: &Account,
        moment: &Moment<'_>,
        make: impl FnOnce(bool) -> Option<Token>,
    ) {
        if let Some(slot) = self.lock().by_account.get_mut(account) {
            slot.told(moment, make);
        }
    }

    /// Grows with every look for the account; nothing where it is not kept.
    pub(crate) fn uses(&self, account: &Account) -> Option<u64> {
        let slots = self.lock();
        slots.by_account.get(account).map(|slot| slot.used)
    }

    /// Drops all that is known of an account.
    pub(crate) fn forget(&self, account: &Account) {
        self.lock().by_account.remove(account);
    }

    /// Accounts on the shelf.
    pub(crate) fn len(&self) -> usize {
        self.lock().by_account.len()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Room for one more: what has expired goes first, then a sixteenth of the
    /// shelf, longest unused, so that the sorting is paid for rarely.
    fn make_room(&mut self, capacity: usize, now: OffsetDateTime) {
        if self.by_account.len() < capacity {
            return;
        }
        self.by_account.retain(|_, slot| !slot.has_expired(now));
        if self.by_account.len() < capacity {
            return;
        }
        let mut uses: Vec<u64> = self
            .by_account
            .values()
            .filter(|slot| slot.may_go())
            .map(|slot| slot.used)
            .collect();
        if uses.is_empty() {
            return;
        }
        let goes = (capacity / 16).min(uses.len() - 1);
        let (_, last, _) = uses.select_nth_unstable(goes);
        let last = *last;
        self.by_account
            .retain(|_, slot| slot.used > last || !slot.may_go());
    }
}

impl Slot {
    fn depart(&mut self, account: &Account, needs: Needs) -> Departure {
        let (landing, landed) = watch::channel(None);
        let flight = Flight { needs, landed };
        self.take_off(flight.clone());
        Departure {
            account: account.clone(),
            flight,
            landing,
        }
    }
}
