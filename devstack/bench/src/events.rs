//! `cargo dev bench events`: how fast a relay publishes a filled outbox, beside a publisher that
//! does nothing else, and how long a message takes from its commit to a consumer.

mod bare;
mod latency;
mod relay;
mod testbed;

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use latchkey_config::Environment;
use latchkey_service::telemetry;

use crate::comparison::median;
use crate::machine;
use crate::options::EventOptions;
use crate::report::{timed_progress, write_result};

use testbed::EventTestbed;

/// Messages that the publisher without a database has in flight: as many as one batch of the relay,
/// and more than all of its batches together.
const WINDOWS: [usize; 2] = [128, 1_024];
/// Share of the rate of a bare publisher that is the goal.
const GOAL: f64 = 0.8;

/// Measures and reports.
pub async fn run(options: EventOptions) -> anyhow::Result<()> {
    // With the spans that a service has, because they are a part of the relay's cost.
    let environment: Environment = [("RUST_LOG", "error")].into_iter().collect();
    let _telemetry = telemetry::Settings::from_environment(&environment)
        .context("telemetry")?
        .init("bench")?;
    let progress = timed_progress(Instant::now());
    let testbed = EventTestbed::start(&progress).await?;
    let events = options.events();
    let mut bare = WINDOWS.map(|_| Vec::new());
    let mut relayed = Vec::new();
    for round in 0..options.rounds() {
        progress(&format!("round {} of {}", round + 1, options.rounds()));
        // Another order in each round, so that other load affects all of them.
        for turn in 0..=WINDOWS.len() {
            let number = (round + turn) % (WINDOWS.len() + 1);
            testbed.empty_queue().await?;
            match WINDOWS.get(number) {
                Some(window) => {
                    bare[number].push(bare::publish(&testbed, events, *window).await?);
                }
                None => relayed.push(relay::publish(&testbed, events).await?),
            }
        }
    }
    progress("latency");
    testbed.empty_queue().await?;
    let woken = latency::measure(&testbed, options.commits(), true).await?;
    let polled = latency::measure(&testbed, options.commits() / 10, false).await?;

    let mut text = format!(
        "{}, load average {:.1}; PostgreSQL with `synchronous_commit=on` and `fsync=on`, one \
         RabbitMQ with a quorum queue, all on the same machine. {events} persistent messages of {} \
         bytes, medians of {} rounds.\n\n\
         | publisher | messages per second | relay by this one | goal |\n\
         | --- | --- | --- | --- |\n",
        machine::description(),
        machine::load(),
        crate::notify::PAYLOAD_BYTES,
        options.rounds(),
    );
    for (window, rates) in WINDOWS.iter().zip(&bare) {
        let pairs = relayed.iter().zip(rates);
        writeln!(
            text,
            "| without a database, {window} in flight | {:.0} | {:.2} | {} |",
            median(rates.iter().copied()),
            median(pairs.map(|(relay, bare)| relay / bare.max(f64::EPSILON))),
            if *window == WINDOWS[0] {
                format!("≥ {GOAL}")
            } else {
                String::new()
            },
        )?;
    }
    writeln!(
        text,
        "| relay of a filled outbox | {:.0} | | |\n\n\
         | from the commit to a consumer, idle | p50 ms | p95 ms | p99 ms | goal |\n\
         | --- | --- | --- | --- | --- |",
        median(relayed.iter().copied()),
    )?;
    for (name, measured, goal) in [
        (
            "committed by the process of the relay",
            &woken,
            "p50 ≤ 5, p99 ≤ 25",
        ),
        ("committed by another process", &polled, ""),
    ] {
        writeln!(
            text,
            "| {name} | {:.1} | {:.1} | {:.1} | {goal} |",
            measured.percentile(50.0),
            measured.percentile(95.0),
            measured.percentile(99.0),
        )?;
    }
    write_result("events", &text, options.report)
}
