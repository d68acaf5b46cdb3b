//! Load generators: closed loop (each connection sends its next call after a response) and open
//! loop (calls are sent at a fixed rate, whether or not earlier ones were answered).

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use latchkey_domain::AccountId;
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::{AccountSelector, GetAccessTokenRequest};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::testbed::Client;

/// Interval at which an open loop sends the calls that are due.
const TICK: Duration = Duration::from_micros(250);

/// Latencies and the number of failed calls.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Latencies of successful calls in microseconds.
    pub latencies: Histogram<u64>,
    /// Number of failed calls.
    pub failed: u64,
    /// Duration of the measurement.
    pub elapsed: Duration,
}

impl Measurement {
    /// Creates an empty measurement.
    pub fn empty() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, 300_000_000, 3)?,
            failed: 0,
            elapsed: Duration::ZERO,
        })
    }

    /// Records a call, which failed if it has no latency.
    pub fn record(&mut self, latency: Option<Duration>) {
        match latency {
            Some(latency) => {
                let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                self.latencies.saturating_record(microseconds);
            }
            None => self.failed += 1,
        }
    }

    /// Merges another measurement and adds its duration.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latencies.add(&other.latencies)?;
        self.failed += other.failed;
        self.elapsed += other.elapsed;
        Ok(())
    }

    /// Returns successful calls per second.
    #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Returns a percentile of the latency in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
    pub fn percentile(&self, percentile: f64) -> f64 {
        self.latencies.value_at_percentile(percentile) as f64 / 1000.0
    }
}

/// Returns the request for any valid token of an account.
pub fn request(account: AccountId) -> GetAccessTokenRequest {
    GetAccessTokenRequest {
        account: Some(AccountSelector {
            selector: Some(Selector::AccountId(account.to_string())),
        }),
        ..GetAccessTokenRequest::default()
    }
}

/// Requests a token. Returns `true` if the response has one.
pub async fn get_token(client: &Client, account: AccountId) -> bool {
    let answer = client.clone().get_access_token(request(account)).await;
    answer.is_ok_and(|answer| answer.into_inner().token.is_some())
}

/// Generates closed-loop load: one call at a time on each connection, for random accounts.
pub async fn closed(
    clients: &[Client],
    accounts: &Arc<Vec<AccountId>>,
    length: Duration,
    seed: u64,
) -> anyhow::Result<Measurement> {
    let begun = Instant::now();
    let mut connections = JoinSet::new();
    for (client, seed) in clients.iter().cloned().zip(seed..) {
        let accounts = Arc::clone(accounts);
        let mut measured = Measurement::empty()?;
        connections.spawn(async move {
            let mut random = SmallRng::seed_from_u64(seed);
            while begun.elapsed() < length {
                let account = accounts[random.random_range(0..accounts.len())];
                let started = Instant::now();
                let answered = get_token(&client, account).await;
                measured.record(answered.then(|| started.elapsed()));
            }
            measured
        });
    }
    let mut all = Measurement::empty()?;
    while let Some(measured) = connections.join_next().await {
        all.add(&measured?)?;
    }
    all.elapsed = begun.elapsed();
    Ok(all)
}

/// Generates open-loop load: `rate` calls per second over all connections. Latency counts from
/// the time at which a call was due, so that a stall of the service adds to the latency of
/// every call that had to wait.
pub async fn open(
    clients: &[Client],
    accounts: &Arc<Vec<AccountId>>,
    rate: f64,
    length: Duration,
    seed: u64,
) -> anyhow::Result<Measurement> {
    let mut connections = JoinSet::new();
    let mut senders = Vec::with_capacity(clients.len());
    for (client, seed) in clients.iter().cloned().zip(seed..) {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Instant>();
        senders.push(sender);
        let accounts = Arc::clone(accounts);
        let mut measured = Measurement::empty()?;
        connections.spawn(async move {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut calls = JoinSet::new();
            while let Some(due) = receiver.recv().await {
                let account = accounts[random.random_range(0..accounts.len())];
                let client = client.clone();
                calls
                    .spawn(async move { get_token(&client, account).await.then(|| due.elapsed()) });
                while let Some(call) = calls.try_join_next() {
                    measured.record(call.ok().flatten());
                }
            }
            while let Some(call) = calls.join_next().await {
                measured.record(call.ok().flatten());
            }
            measured
        });
    }
    let begun = Instant::now();
    let ticker = tokio::task::spawn_blocking(move || {
        let gap = Duration::from_secs_f64(1.0 / rate.max(1.0));
        let mut due = begun;
        let mut turn = 0;
        while due < begun + length {
            while due <= Instant::now() && due < begun + length {
                // If a connection is lost, its calls count as failed.
                let _ = senders[turn % senders.len()].send(due);
                turn += 1;
                due += gap;
            }
            std::thread::sleep(TICK);
        }
    });
    ticker.await?;
    let mut all = Measurement::empty()?;
    while let Some(measured) = connections.join_next().await {
        all.add(&measured?)?;
    }
    all.elapsed = length;
    Ok(all)
}

/// Requests a token of each account once, with `at_once` concurrent calls on each connection.
/// Returns the number of refusals.
pub async fn get_each_token(
    clients: &[Client],
    accounts: &Arc<Vec<AccountId>>,
    at_once: usize,
) -> anyhow::Result<u64> {
    let mut callers = JoinSet::new();
    let step = clients.len() * at_once;
    for (number, client) in (0..step).zip(clients.iter().cycle().cloned()) {
        let accounts = Arc::clone(accounts);
        callers.spawn(async move {
            let mut refused = 0;
            for account in accounts.iter().skip(number).step_by(step) {
                if !get_token(&client, *account).await {
                    refused += 1;
                }
            }
            refused
        });
    }
    let mut refused = 0;
    while let Some(caller) = callers.join_next().await {
        refused += caller?;
    }
    Ok(refused)
}
