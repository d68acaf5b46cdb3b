//! `cargo dev bench refusals`: measures whether the time of a refusal reveals that an account
//! exists.

use std::fmt::Write as _;
use std::time::Instant;

use hdrhistogram::Histogram;
use latchkey_domain::AccountId;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::load::get_token;
use crate::machine;
use crate::options::ReportOptions;
use crate::report::{timed_progress, write_result};
use crate::testbed::Testbed;
use crate::tokens::refresh_svc_program;

/// Number of refusals of each kind.
const ASKED: usize = 5_000;
/// Number of accounts of each kind.
const ACCOUNTS: usize = 500;

/// Requests tokens as a caller that the policy allows none of the accounts, and reports the
/// times.
pub async fn run(options: ReportOptions) -> anyhow::Result<()> {
    let progress = timed_progress(Instant::now());
    let testbed = Testbed::start(&progress).await?;
    let service = testbed
        .refresh_svc(&refresh_svc_program()?, "refresh-svc")
        .await?;
    let allowed = testbed.connect(service.address).await?;
    let stranger = testbed.connect_as_stranger(service.address).await?;
    let cached = testbed.add_valid(ACCOUNTS).await?;
    for account in &cached {
        anyhow::ensure!(get_token(&allowed, *account).await, "a token was refused");
    }
    let stored = testbed.add_valid(ACCOUNTS).await?;
    let missing: Vec<AccountId> = (0..ACCOUNTS).map(|_| AccountId::generate()).collect();
    let kinds = [
        ("cached and in the database", cached),
        ("in the database", stored),
        ("nowhere", missing),
    ];

    progress("asking for accounts that the policy does not allow");
    let mut random = SmallRng::seed_from_u64(1);
    let mut took: [Vec<u64>; 3] = Default::default();
    let mut turns = [0, 1, 2];
    for number in 0..ASKED + ACCOUNTS {
        // One request of each kind in random order, so that other load of the machine affects
        // all equally.
        turns.shuffle(&mut random);
        for kind in turns {
            let account = kinds[kind].1[number % ACCOUNTS];
            let started = Instant::now();
            anyhow::ensure!(!get_token(&stranger, account).await, "a token was returned");
            let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            // The first round is a warm-up.
            if number >= ACCOUNTS {
                took[kind].push(nanoseconds);
            }
        }
    }

    let mut text = format!(
        "{}, load average {:.1}; {ASKED} refusals of each kind, in turn, one at a time.\n\n\
         | the account is | p10 ms | p50 ms | p90 ms | p99 ms | slower than for no account |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        machine::description(),
        machine::load(),
    );
    for ((kind, _), took_here) in kinds.iter().zip(&took) {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
        for nanoseconds in took_here {
            histogram.saturating_record(*nanoseconds);
        }
        #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
        let at = |percentile| histogram.value_at_percentile(percentile) as f64 / 1e6;
        writeln!(
            text,
            "| {kind} | {:.3} | {:.3} | {:.3} | {:.3} | {:.1} % |",
            at(10.0),
            at(50.0),
            at(90.0),
            at(99.0),
            100.0 * probability_slower(took_here, &took[2]),
        )?;
    }
    write_result("refusals", &text, options)
}

/// Returns the probability that one of `these` took longer than one of `those`. It is 0.5 if
/// the two cannot be distinguished (Mann-Whitney U test).
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
fn probability_slower(these: &[u64], those: &[u64]) -> f64 {
    let mut those = those.to_vec();
    those.sort_unstable();
    let below = |one: &u64| {
        let less = those.partition_point(|other| other < one);
        let not_more = those.partition_point(|other| other <= one);
        (less + not_more) as f64 / 2.0
    };
    these.iter().map(below).sum::<f64>() / (these.len() * those.len()).max(1) as f64
}
