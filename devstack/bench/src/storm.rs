//! Storms: many callers over several replicas on accounts that have expired.

use std::time::{Duration, Instant};

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_domain::AccountId;
use tokio::task::JoinSet;

use crate::load::{Measurement, get_token};
use crate::testbed::{Client, Testbed};

/// What a storm came to.
#[derive(Debug, Clone)]
pub struct Storm {
    /// How many such storms.
    pub times: u64,
    /// Expired accounts in each.
    pub accounts: usize,
    /// Callers over all, in each.
    pub callers: usize,
    /// How long the provider took to answer.
    pub provider: Duration,
    /// Requests that the provider got in all.
    pub refreshes: u64,
    /// What the callers waited.
    pub waited: Measurement,
}

impl Storm {
    /// Takes in another storm of the same kind.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.times += other.times;
        self.refreshes += other.refreshes;
        self.waited.add(&other.waited)
    }
}

/// All callers at once. `clients` are spread over the replicas.
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
            let asked = Instant::now();
            get_token(&client, account).await.then(|| asked.elapsed())
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
        accounts: accounts.len(),
        callers,
        provider,
        refreshes: testbed.demo.refreshes(Flavour::Google) - before,
        waited,
    })
}
