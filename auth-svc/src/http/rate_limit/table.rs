//! A bounded table of rate limits, with wider tables for the keys that do not fit into it.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::{DefaultDirectRateLimiter, NotUntil, Quota, RateLimiter};

/// An address or a flow has made too many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests; try again in {} s", self.seconds())]
pub struct TooManyRequests(Duration);

impl TooManyRequests {
    /// Returns the time to wait in seconds, rounded up; at least 1.
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + 1
    }
}

/// Factor by which the limit of a tier is larger than the limit of the tier before it,
/// because its keys stand for more clients.
const WIDER: u32 = 4;

type Instant = <DefaultClock as governor::clock::Clock>::Instant;

/// The states of a table, which the limiter and the table share.
struct Store<K>(Arc<DashMapStateStore<K>>);

impl<K: Hash + Eq + Clone> StateStore for Store<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Store<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Rate limits of at most `bound` keys.
struct Table<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, Store<K>, DefaultClock>,
    known: Arc<DashMapStateStore<K>>,
    bound: usize,
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn new(quota: Quota, bound: usize) -> Self {
        let known = Arc::new(DashMapStateStore::default());
        let store = Store(known.clone());
        Self {
            limiter: RateLimiter::new(quota, store, DefaultClock::default()),
            known,
            bound,
        }
    }

    /// Counts a request of `key`. Returns `None` if the table is full and does not have the
    /// key.
    fn check(&self, key: &K) -> Option<Result<(), TooManyRequests>> {
        // The table can exceed the bound by at most the number of threads.
        if self.known.len() >= self.bound && !self.known.contains_key(key) {
            return None;
        }
        Some(self.limiter.check_key(key).map_err(wait))
    }
}

/// Returns the time until the next request is accepted.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn wait(until: NotUntil<Instant>) -> TooManyRequests {
    TooManyRequests(until.wait_time_from(DefaultClock::default().now()))
}

/// Rate limits by key, from narrow to wide. A key that does not fit into a full table is
/// counted with its wider group. If that table is full too, it is counted together with all
/// others.
pub(super) struct Tiers<K: Hash + Eq + Clone, const N: usize> {
    tables: [Table<K>; N],
    shared: DefaultDirectRateLimiter,
}

impl<K: Hash + Eq + Clone, const N: usize> Tiers<K, N> {
    /// Creates the tables. Each key of the first tier may make `burst` requests in
    /// `period`; each table has at most `bound` keys. Returns `None` if the period is too
    /// short to be divided.
    pub(super) fn new(burst: NonZeroU32, period: Duration, bound: usize) -> Option<Self> {
        let quota = |tier: usize| {
            let factor = WIDER.saturating_pow(u32::try_from(tier).unwrap_or(u32::MAX));
            let burst = burst.saturating_mul(NonZeroU32::new(factor)?);
            Some(Quota::with_period(period / burst.get())?.allow_burst(burst))
        };
        let mut quotas = [quota(0)?; N];
        for (tier, wider) in quotas.iter_mut().enumerate() {
            *wider = quota(tier)?;
        }
        Some(Self {
            tables: quotas.map(|quota| Table::new(quota, bound)),
            shared: RateLimiter::direct(quota(N)?),
        })
    }

    /// Counts a request of the client with these keys, the narrowest first. `None` means
    /// that the client is unknown.
    pub(super) fn check(&self, keys: Option<[K; N]>) -> Result<(), TooManyRequests> {
        let tiers = self.tables.iter().zip(keys.into_iter().flatten());
        for (table, key) in tiers {
            if let Some(answer) = table.check(&key) {
                return answer;
            }
        }
        self.shared.check().map_err(wait)
    }

    /// Deletes idle keys.
    pub(super) fn sweep(&self) {
        for table in &self.tables {
            table.limiter.retain_recent();
        }
    }
}

impl<K: Hash + Eq + Clone, const N: usize> std::fmt::Debug for Tiers<K, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tiers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(burst: u32, bound: usize) -> Tiers<&'static str, 2> {
        let burst = NonZeroU32::new(burst).unwrap();
        Tiers::new(burst, Duration::from_hours(1), bound).unwrap()
    }

    fn passes(tiers: &Tiers<&'static str, 2>, keys: [&'static str; 2]) -> bool {
        tiers.check(Some(keys)).is_ok()
    }

    #[test]
    fn a_burst_passes_and_what_follows_waits_its_turn() {
        let tiers = tiers(3, 10);
        for _ in 0..3 {
            assert!(passes(&tiers, ["one", "group"]));
        }
        let refused = tiers.check(Some(["one", "group"])).unwrap_err();
        assert!((1..=1201).contains(&refused.seconds()), "{refused}");
        assert!(passes(&tiers, ["two", "group"]), "another is not harmed");
    }

    #[test]
    fn in_a_full_table_who_is_known_keeps_a_limit_of_its_own() {
        let tiers = tiers(2, 1);
        assert!(passes(&tiers, ["known", "home"]));
        // A flood of new keys from one network, which do not fit into the table.
        let flood = (0..100).filter(|_| passes(&tiers, ["flood", "abroad"]));
        assert_eq!(flood.count(), 8, "the wider network has four times as much");
        // A known key still has the second of its two requests, but no third one.
        assert!(passes(&tiers, ["known", "home"]));
        assert!(!passes(&tiers, ["known", "home"]));
    }

    #[test]
    fn in_a_full_table_a_flood_from_one_network_does_not_shut_out_another() {
        let tiers = tiers(1, 2);
        for filler in ["a", "b"] {
            assert!(passes(&tiers, [filler, "abroad"]));
        }
        while passes(&tiers, ["flood", "abroad"]) {}
        assert!(passes(&tiers, ["newcomer", "home"]));
    }

    #[test]
    fn where_even_the_wider_networks_do_not_fit_there_is_one_limit_for_the_rest() {
        let tiers = tiers(1, 1);
        assert!(passes(&tiers, ["a", "x"]));
        assert!(passes(&tiers, ["b", "y"]));
        let shared = (0..100).filter(|_| passes(&tiers, ["c", "z"]));
        assert_eq!(shared.count(), 16);
        assert!(tiers.check(None).is_err(), "nobody known is of the rest");
        assert!(passes(&tiers, ["b", "y"]), "a known network keeps its own");
    }

    #[test]
    fn who_was_quiet_makes_room() {
        let burst = NonZeroU32::new(1000).unwrap();
        let tiers = Tiers::<u8, 1>::new(burst, Duration::from_millis(1), 1).unwrap();
        assert!(tiers.check(Some([1])).is_ok());
        let started = std::time::Instant::now();
        // The state of a key is fresh again after a microsecond.
        while !tiers.tables[0].known.is_empty() {
            tiers.sweep();
            assert!(started.elapsed() < Duration::from_secs(30));
        }
        assert!(tiers.tables[0].check(&2).is_some());
    }
}
