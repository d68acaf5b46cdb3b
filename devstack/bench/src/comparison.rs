//! Steady load on both services in many short alternating rounds, so that other load of the
//! machine affects both equally.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;

use crate::load::{self, Measurement};
use crate::machine::processor_time;
use crate::options::Options;
use crate::testbed::{Client, RunningService};

/// A service with open connections to it.
pub struct Target<'a> {
    /// The service.
    pub service: &'a RunningService,
    /// Connections.
    pub clients: Vec<Client>,
}

/// One service over all rounds.
#[derive(Debug, Clone)]
pub struct Series {
    /// The measurements of all rounds.
    pub rounds: Vec<Measurement>,
    /// Processor time of the service over all rounds.
    pub processor: Duration,
}

impl Series {
    fn new() -> Self {
        Self {
            rounds: Vec::new(),
            processor: Duration::ZERO,
        }
    }

    /// Merges all rounds.
    pub fn all(&self) -> anyhow::Result<Measurement> {
        let mut all = Measurement::empty()?;
        for round in &self.rounds {
            all.add(round)?;
        }
        Ok(all)
    }

    /// Returns the processor time per call in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
    pub fn processor_per_call(&self) -> f64 {
        let calls: u64 = self.rounds.iter().map(|round| round.latencies.len()).sum();
        self.processor.as_secs_f64() * 1e6 / (calls.max(1) as f64)
    }
}

/// The null service and refresh-svc under the same load.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The null service.
    pub null: Series,
    /// refresh-svc.
    pub refresh_svc: Series,
}

impl Comparison {
    /// Returns the median over all rounds of the ratio of refresh-svc to the null service, for
    /// a number of each round.
    pub fn ratio(&self, number: impl Fn(&Measurement) -> f64) -> f64 {
        let rounds = self.null.rounds.iter().zip(&self.refresh_svc.rounds);
        median(
            rounds.map(|(null, refresh_svc)| number(refresh_svc) / number(null).max(f64::EPSILON)),
        )
    }
}

/// Returns the median, which is the mean of the two middle numbers if their count is even.
pub fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    match (numbers.len() / 2, numbers.len() % 2) {
        (0, 0) => 0.0,
        (middle, 0) => f64::midpoint(numbers[middle - 1], numbers[middle]),
        (middle, _) => numbers[middle],
    }
}

/// Measures both services in alternating order, at `rate` calls per second or, without a rate,
/// in a closed loop.
pub async fn measure(
    null: &Target<'_>,
    refresh_svc: &Target<'_>,
    accounts: &Arc<Vec<AccountId>>,
    rate: Option<f64>,
    options: &Options,
) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison {
        null: Series::new(),
        refresh_svc: Series::new(),
    };
    for round in 0..options.rounds() {
        let seed = round as u64 * 1_000;
        let mut turns = [
            (null, &mut comparison.null),
            (refresh_svc, &mut comparison.refresh_svc),
        ];
        if round % 2 == 1 {
            turns.reverse();
        }
        for (target, series) in turns {
            let clients = &target.clients;
            load::closed(clients, accounts, options.warm_up(), seed + 500).await?;
            let before = processor_time(target.service.process)?;
            let measured = match rate {
                None => load::closed(clients, accounts, options.round(), seed).await?,
                Some(rate) => load::open(clients, accounts, rate, options.round(), seed).await?,
            };
            let after = processor_time(target.service.process)?;
            series.processor += after.saturating_sub(before);
            series.rounds.push(measured);
        }
    }
    Ok(comparison)
}
