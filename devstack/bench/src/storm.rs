//! Storms: many callers of several replicas request expired tokens at the same time.

use std::time::{Duration, Instant};

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_domain::AccountId;
use tokio::task::JoinSet;

use crate::load::{Measurement, get_token};
use crate::testbed::{Client, Testbed};

/// The result of a storm.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Number of storms that are merged in this result.
    pub times: u64,
    /// Number of storms of which this is the median.
    pub median_of: usize,
    /// Number of expired accounts in each storm.
    pub accounts: usize,
    /// Number of callers in each storm.
    pub callers: usize,
    /// Latency of the provider.
    pub provider: Duration,
    /// Number of requests at the provider in all storms.
    pub refreshes: u64,
    /// Latencies of the callers.
    pub waited: Measurement,
}

impl Storm {
    /// Merges another storm of the same kind.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.times += other.times;
        self.refreshes += other.refreshes;
        self.waited.add(&other.waited)
    }
}

/// Returns the storm with the median of the slowest calls (p99).
pub fn median(mut storms: Vec<Storm>) -> Option<Storm> {
    let p99 = |storm: &Storm| storm.waited.percentile(99.0);
    storms.sort_unstable_by(|one, other| p99(one).total_cmp(&p99(other)));
    let median_of = storms.len();
    let median = storms.into_iter().nth(median_of / 2)?;
    Some(Storm {
        median_of,
        ..median
    })
}

/// Sends all calls at once. `clients` are distributed over the replicas.
pub async fn run(
    testbed: &Testbed,
    clients: &[Client],
    accounts: &[AccountId],
    callers: usize,
    provider: Duration,
) -> anyhow::Result<Storm> {
    let before = testbed.demo.refreshes(Flavour::Google);
    testbed.demo.forget_faults();
    if !provider.is_zero() {
        let slow = Fault::on(Endpoint::Token)
            .of_grant("refresh_token")
            .delayed_ms(u64::try_from(provider.as_millis()).unwrap_or(u64::MAX))
            .times(u32::MAX);
        testbed.demo.inject(slow);
    }
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..callers {
        let client = clients[number % clients.len()].clone();
        let account = accounts[number % accounts.len()];
        calls.spawn(async move {
            let started = Instant::now();
            get_token(&client, account).await.then(|| started.elapsed())
        });
    }
    let mut waited = Measurement::empty()?;
    while let Some(call) = calls.join_next().await {
        waited.record(call?);
    }
    waited.elapsed = begun.elapsed();
    testbed.demo.forget_faults();
    Ok(Storm {
        times: 1,
        median_of: 1,
        accounts: accounts.len(),
        callers,
        provider,
        refreshes: testbed.demo.refreshes(Flavour::Google) - before,
        waited,
    })
}
