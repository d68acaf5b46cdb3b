//! Simulates the refreshes of accounts that are always in use, with the functions of the
//! service and its random numbers from a fixed seed.

use std::collections::BTreeSet;
use std::ops::Range;

use latchkey_service::jitter::Jitter;
use uuid::Uuid;

use super::*;
use crate::snapshot::soft_margin;

const ACCOUNTS: u32 = 3_000;
const LIFE: Duration = Duration::from_hours(1);
const END: Duration = Duration::from_hours(6);
/// Interval of searches: longer than that of the service, so that fewer are simulated.
const SEARCH: Duration = Duration::from_secs(10);
/// Interval over which refreshes are counted.
const COUNTED: Duration = Duration::from_mins(5);
/// The provider does not answer for ten minutes.
const OUTAGE: Range<Duration> = Duration::from_mins(90)..Duration::from_mins(100);

/// One account: when its token expires, and with which remaining lives it is refreshed.
struct Account {
    id: AccountId,
    version: i64,
    expires_at: Duration,
    early: Duration,
    soft: Duration,
}

impl Account {
    fn refreshed(&mut self, now: Duration, jitter: &Jitter) {
        self.version += 1;
        self.expires_at = now + LIFE;
        self.early = early_margin(self.id, self.version, LIFE);
        self.soft = soft_margin(LIFE, jitter.next());
    }

    fn remaining(&self, now: Duration) -> Duration {
        self.expires_at.saturating_sub(now)
    }
}

/// What happened.
struct Simulated {
    /// Refreshes by [`COUNTED`] intervals.
    counts: Vec<u32>,
    /// Tokens that expired before they were refreshed.
    expired: u32,
}

impl Simulated {
    /// The highest count by the average of the hour before the outage.
    fn peak(&self) -> f64 {
        let quiet = &self.counts[..interval_of(Duration::from_hours(1))];
        let average =
            f64::from(quiet.iter().sum::<u32>()) / f64::from(u32::try_from(quiet.len()).unwrap());
        let highest = self.counts.iter().max().copied().unwrap();
        f64::from(highest) / average
    }
}

/// The number of the interval that contains a time.
fn interval_of(time: Duration) -> usize {
    usize::try_from(time.as_secs() / COUNTED.as_secs()).unwrap()
}

/// Simulates. Without `spread` only tokens are refreshed that cannot wait, all at once.
fn simulate(spread: bool, outage: &Range<Duration>) -> Simulated {
    let jitter = Jitter::seeded(20_261_127);
    let provider = ProviderName::GOOGLE.parse().unwrap();
    let mut accounts: Vec<Account> = (0..ACCOUNTS)
        .map(|number| {
            let mut account = Account {
                id: AccountId::from(Uuid::from_u128(u128::from(number) + 1)),
                version: 0,
                expires_at: Duration::ZERO,
                early: Duration::ZERO,
                soft: Duration::ZERO,
            };
            account.refreshed(Duration::ZERO, &jitter);
            // People have signed in at all times.
            let margin = if spread { account.early } else { account.soft };
            account.expires_at = margin + LIFE.saturating_sub(margin).mul_f64(jitter.next());
            account
        })
        .collect();
    let mut paces = Paces::default();
    let mut simulated = Simulated {
        counts: vec![0; interval_of(END)],
        expired: 0,
    };
    let mut now = Duration::ZERO;
    while now < END {
        let mut due = BTreeSet::new();
        let mut averages = Averages::default();
        for (number, account) in accounts.iter().enumerate() {
            averages.count(&provider, LIFE);
            let margin = if spread { account.early } else { account.soft };
            if account.remaining(now) <= margin {
                due.insert((account.remaining(now), number));
            }
        }
        paces.set_averages(averages);
        paces.refill(SEARCH);
        // The circuit breaker lets next to nothing through.
        if !outage.contains(&now) {
            for (remaining, number) in due {
                let account = &mut accounts[number];
                let cannot_wait = remaining <= account.soft;
                if paces.starts(&provider, cannot_wait) {
                    simulated.expired += u32::from(remaining.is_zero());
                    account.refreshed(now, &jitter);
                    simulated.counts[interval_of(now)] += 1;
                }
            }
        }
        now += SEARCH;
    }
    simulated
}

const NONE: Range<Duration> = Duration::ZERO..Duration::ZERO;

#[test]
fn refreshes_are_even_if_people_have_signed_in_at_all_times() {
    let simulated = simulate(true, &NONE);
    assert!(simulated.peak() <= 1.2, "{}", simulated.peak());
    assert_eq!(simulated.expired, 0);
}

// R33
#[test]
fn an_outage_of_ten_minutes_is_followed_by_no_peak_and_no_token_expires() {
    let simulated = simulate(true, &OUTAGE);
    let (peak, counts) = (simulated.peak(), &simulated.counts);
    assert!(peak <= 1.2, "{peak}: {counts:?}");
    assert_eq!(simulated.expired, 0);
    // The outage is seen.
    assert!(counts.contains(&0), "{counts:?}");
}

#[test]
fn without_spreading_an_outage_is_followed_by_a_peak() {
    let simulated = simulate(false, &OUTAGE);
    assert!(simulated.peak() > 2.0, "{}", simulated.peak());
    assert!(simulated.expired > 0);
}

#[test]
fn a_token_of_any_life_may_be_refreshed_before_it_must_be() {
    for seconds in [1, 60, 300, 3_600, 86_400] {
        let life = Duration::from_secs(seconds);
        for number in 1..100 {
            let account = AccountId::from(Uuid::from_u128(number));
            let margin = early_margin(account, 1, life);
            assert!(margin > soft_margin(life, 1.0), "{life:?}");
            assert!(margin <= life.mul_f64(EARLIEST), "{life:?}");
            assert_eq!(margin, early_margin(account, 1, life));
        }
    }
}

#[test]
fn a_refresh_that_cannot_wait_starts_and_delays_another() {
    let provider = ProviderName::GOOGLE.parse().unwrap();
    let mut paces = Paces::default();
    assert!(paces.starts(&provider, true));
    assert!(!paces.starts(&provider, false));
    let mut allowed = 0;
    for _ in 0..2 {
        let mut averages = Averages::default();
        for _ in 0..1_000 {
            averages.count(&provider, LIFE);
        }
        paces.set_averages(averages);
        // 1.15 × 1,000 accounts, each every 2,430 s.
        paces.refill(Duration::from_secs(10));
        while paces.starts(&provider, false) {
            allowed += 1;
        }
    }
    assert_eq!(allowed, 9);
    assert!(paces.starts(&provider, true));
    assert!(!paces.starts(&provider, false));
}
