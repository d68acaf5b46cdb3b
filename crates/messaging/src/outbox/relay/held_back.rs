use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_domain::Backoff;
use tokio::time::Instant;

/// Between two attempts to publish to a destination: its queue may be back at any time.
const DESTINATION: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30)).unwrap();
/// Between two attempts to publish a row that ends the connection: long enough for the other
/// rows in between, even if a new connection takes seconds.
const ROW: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_mins(5)).unwrap();

/// The exchange and the routing key of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    pub(super) exchange: String,
    pub(super) routing_key: String,
}

/// The destinations and rows that are not published with the others at present, and when they
/// are retried. Each relay has its own.
#[derive(Debug, Default)]
pub(super) struct HeldBack(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    destinations: HashMap<Destination, Wait>,
    rows: HashMap<i64, Wait>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Instant,
    failures: u32,
}

impl HeldBack {
    /// Holds a destination back. Returns for how long, or `None` if it is held back already
    /// and not due.
    pub(super) fn hold(&self, destination: Destination) -> Option<Duration> {
        hold(&mut self.lock().destinations, destination, DESTINATION)
    }

    /// A destination whose retry is due.
    pub(super) fn due(&self) -> Option<Destination> {
        let now = Instant::now();
        let inner = self.lock();
        let mut due = inner.destinations.iter();
        due.find(|(_, wait)| wait.until <= now)
            .map(|(destination, _)| destination.clone())
    }

    /// Makes every destination due, for a new connection.
    pub(super) fn all_due(&self) {
        let now = Instant::now();
        for wait in self.lock().destinations.values_mut() {
            wait.until = now;
        }
    }

    /// Ends the holding back of a destination.
    pub(super) fn release(&self, destination: &Destination) {
        self.lock().destinations.remove(destination);
    }

    /// The destinations that are held back.
    pub(super) fn destinations(&self) -> Vec<Destination> {
        self.lock().destinations.keys().cloned().collect()
    }

    /// Holds a row back. Returns for how long.
    pub(super) fn hold_row(&self, seq: i64) -> Duration {
        hold(&mut self.lock().rows, seq, ROW).unwrap_or_default()
    }

    /// The rows that are held back now.
    pub(super) fn rows(&self) -> Vec<i64> {
        let now = Instant::now();
        let inner = self.lock();
        let held = inner.rows.iter().filter(|(_, wait)| wait.until > now);
        held.map(|(seq, _)| *seq).collect()
    }

    /// Forgets rows that were published.
    pub(super) fn forget_rows(&self, done: &[i64]) {
        self.lock().rows.retain(|seq, _| !done.contains(seq));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hold<K: Eq + Hash>(held: &mut HashMap<K, Wait>, key: K, backoff: Backoff) -> Option<Duration> {
    let now = Instant::now();
    let wait = held.entry(key).or_insert(Wait {
        until: now,
        failures: 0,
    });
    if wait.until > now {
        return None;
    }
    wait.failures = wait.failures.saturating_add(1);
    let delay = backoff.without_jitter(wait.failures);
    wait.until = now + delay;
    Some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> Destination {
        Destination {
            exchange: "e".to_owned(),
            routing_key: "k".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_a_bound_and_end_with_a_release() {
        let held = HeldBack::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            let wait = held.hold(destination()).unwrap();
            waits.push(wait.as_secs());
            // Further failures of the same batch count once.
            assert_eq!(held.hold(destination()), None);
            assert_eq!(held.due(), None);
            tokio::time::advance(wait).await;
            assert_eq!(held.due(), Some(destination()));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        held.release(&destination());
        assert!(held.destinations().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_is_claimed_again_when_its_time_has_come() {
        let held = HeldBack::default();
        let wait = held.hold_row(7);
        assert_eq!(held.rows(), [7]);
        tokio::time::advance(wait).await;
        assert!(held.rows().is_empty());
        assert!(held.hold_row(7) > wait);
        held.forget_rows(&[7]);
        assert_eq!(held.hold_row(7), wait);
    }
}
