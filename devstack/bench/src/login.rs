//! `cargo dev bench login`: sign-ins through the real callback with a provider that costs nothing,
//! the time until their accounts are committed, and the path of events with several replicas, beside
//! the same statements by plain sqlx.

mod callbacks;
mod event_path;
mod flame_graph;
mod loops;
pub mod memory;
mod parts;
mod people;
mod provider;
mod report;
mod starts;
mod statements;
mod testbed;

use std::time::{Duration, Instant};

use devstack::ServiceId;
use latchkey_servers::Progress;

use crate::machine::{self, processor_time, processor_time_of_family, resident_parts};
use crate::options::LoginOptions;
use crate::report::{picture, timed_progress, write_result};

use callbacks::{AT_ONCE, Callbacks};
use event_path::EventPath;
use loops::{Closed, Open};
use report::Report;
use testbed::{LoginTestbed, until_committed};

/// Sign-ins before the first measurement, for connections and prepared statements.
const WARM_UP: usize = 200;
/// Callbacks per second while nothing else happens.
const IDLE_RATE: f64 = 10.0;
/// Rate of the open loop as a share of the closed loop's.
const HALF: f64 = 0.5;

/// Measures and reports.
pub async fn run(options: &LoginOptions) -> anyhow::Result<()> {
    let progress = timed_progress(Instant::now());
    let load_before = machine::load();
    let mut testbed = LoginTestbed::start(&progress).await?;
    progress("starts of the services");
    let starts = starts::measure(&mut testbed, options.starts()).await?;
    open(&testbed, "first", WARM_UP, IDLE_RATE * 5.0).await?;
    progress(&format!("closed loop: {} sign-ins", options.sign_ins()));
    let closed = closed(&mut testbed, options.sign_ins()).await?;
    progress("one sign-in at a time");
    let idle = open(&testbed, "idle", options.single(), IDLE_RATE).await?;
    let rate = closed.callbacks.rate().min(closed.accounts_rate) * HALF;
    progress(&format!("half load: {rate:.0} sign-ins per second"));
    let half = open(&testbed, "half", count(rate, options.half_load()), rate).await?;

    progress(&format!("recording {} sign-ins", options.recorded()));
    let recorded = statements::record(&mut testbed, options.recorded()).await?;
    progress("the same statements by plain sqlx");
    for id in [ServiceId::Auth, ServiceId::Sync] {
        testbed.stack.service(id)?.stop();
    }
    let sign_ins = statements::replay(&testbed.plain, recorded.sign_ins).await?;
    let connections = statements::replay(&testbed.plain, recorded.connections).await?;
    let paths = event_paths(&mut testbed, options, &progress).await?;
    for id in [ServiceId::Auth, ServiceId::Sync] {
        testbed.stack.service(id)?.start().await?;
    }
    if options.flame_graph {
        progress("flame graph");
        let picture = picture("login", options.report)?;
        flame_graph::draw(&mut testbed, &picture).await?;
    }
    progress("the parts of a sign-in");
    let parts = parts::measure(&mut testbed, options.single()).await?;
    let report = Report {
        loads: (load_before, machine::load()),
        starts,
        closed,
        idle,
        half,
        sign_ins,
        connections,
        paths,
        parts,
    };
    write_result("login", &report.markdown()?, options.report)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of sign-ins"
)]
fn count(rate: f64, length: Duration) -> usize {
    (rate * length.as_secs_f64()).max(1.0) as usize
}

async fn closed(testbed: &mut LoginTestbed, count: usize) -> anyhow::Result<Closed> {
    let client = callbacks::client()?;
    let (people, begun) = people::begin(testbed, "closed", count).await?;
    let before = processors(testbed)?;
    let Callbacks { measured, sent } = callbacks::closed(&client, people, AT_ONCE).await?;
    let committed = testbed.committed("closed", count).await?;
    let after = processors(testbed)?;
    let first = sent.values().copied().fold(f64::MAX, f64::min);
    let last = committed.values().copied().fold(f64::MIN, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
    let sign_ins = count as f64;
    let processor = before
        .into_iter()
        .zip(after)
        .map(|((name, before), (_, after))| (name, after.saturating_sub(before).div_f64(sign_ins)))
        .collect();
    let mut memory = Vec::new();
    for id in testbed::SERVICES {
        memory.push((id, resident_parts(testbed.process(id)?)?));
    }
    Ok(Closed {
        begun,
        callbacks: measured,
        committed: until_committed(&sent, &committed)?,
        accounts_rate: sign_ins / (last - first).max(f64::EPSILON),
        processor,
        memory,
    })
}

/// Returns the processor time of each program until now.
fn processors(testbed: &mut LoginTestbed) -> anyhow::Result<Vec<(&'static str, Duration)>> {
    let auth = testbed.process(ServiceId::Auth)?;
    let sync = testbed.process(ServiceId::Sync)?;
    let servers = &testbed.stack.servers;
    let mut all = vec![
        ("auth-svc", processor_time(auth)?),
        ("sync-svc", processor_time(sync)?),
    ];
    for (name, process) in [
        ("PostgreSQL", servers.postgres.process_id()),
        ("RabbitMQ", servers.rabbitmq.process_id()),
    ] {
        let time = process.map(processor_time_of_family).transpose()?;
        all.push((name, time.unwrap_or_default()));
    }
    let own = processor_time(std::process::id())?;
    all.push(("this program: browsers and provider", own));
    Ok(all)
}

async fn open(
    testbed: &LoginTestbed,
    phase: &str,
    count: usize,
    rate: f64,
) -> anyhow::Result<Open> {
    let client = callbacks::client()?;
    let (people, _) = people::begin(testbed, phase, count).await?;
    let Callbacks { measured, sent } = callbacks::scheduled(&client, people, rate).await?;
    let committed = testbed.committed(phase, count).await?;
    Ok(Open {
        rate,
        callbacks: measured,
        committed: until_committed(&sent, &committed)?,
    })
}

/// Measures the path of events with each number of replicas, and with the largest once more while
/// one replica of each service is killed.
async fn event_paths(
    testbed: &mut LoginTestbed,
    options: &LoginOptions,
    progress: &Progress,
) -> anyhow::Result<Vec<EventPath>> {
    event_path::prepare(&testbed.plain).await?;
    let counts = event_path::counts(&options.replicas);
    let most = counts.last().copied().filter(|most| *most > 1);
    let runs = counts.into_iter().map(|replicas| (replicas, false));
    let mut paths = Vec::new();
    for (replicas, kills) in runs.chain(most.map(|most| (most, true))) {
        let killed = if kills { ", one of each killed" } else { "" };
        progress(&format!("path of events: {replicas} replicas{killed}"));
        paths.push(event_path::measure(testbed, replicas, kills).await?);
    }
    Ok(paths)
}
