//! Storms: many callers over several replicas on accounts that have expired.

use std::time::{Duration, Instant};

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_domain::AccountId;
use tokio::task::JoinSet;

use crate::load::{Measured, ask};
use crate::world::{Client, World};

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
    pub waited: Measured,
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
    world: &World,
    clients: &[Client],
    accounts: &[AccountId],
    callers: usize,
    provider: Duration,
) -> anyhow::Result<Storm> {
    let before = world.demo.refreshes(Flavour::Google);
    world.demo.forget_faults();
    if !provider.is_zero() {
        let slow = Fault::on(Endpoint::Token)
            .of_grant("refresh_token")
            .delayed_ms(u64::try_from(provider.as_millis()).unwrap_or(u64::MAX))
            .times(u32::MAX);
        world.demo.inject(slow);
    }
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..callers {
        let client = clients[number % clients.len()].clone();
        let account = accounts[number % accounts.len()];
        calls.spawn(async move {
            let asked = Instant::now();
            ask(&client, account).await.then(|| asked.elapsed())
        });
    }
    let mut waited = Measured::nothing()?;
    while let Some(call) = calls.join_next().await {
        waited.take(call?);
    }
    waited.elapsed = begun.elapsed();
    world.demo.forget_faults();
    Ok(Storm {
        times: 1,
        accounts: accounts.len(),
        callers,
        provider,
        refreshes: world.demo.refreshes(Flavour::Google) - before,
        waited,
    })
}
