//! `cargo dev bench logout`: a provider ends thousands of sessions by logout tokens while people sign
//! in.

mod people;
mod replicas;
mod sign_ins;
mod storm;
mod testbed;

use std::fmt::Write as _;
use std::time::Instant;

use crate::load::Measurement;
use crate::machine;
use crate::options::LogoutOptions;
use crate::report::{timed_progress, write_result};

use people::SESSIONS;
use storm::{Share, Storm};
use testbed::LogoutTestbed;

/// The p99 of a sign-in during the logout tokens, as a multiple of that without them.
const GOAL: f64 = 2.0;

/// Sign-ins without logout tokens, then the same with them.
struct Run {
    quiet: Measurement,
    storm: Storm,
}

impl Run {
    fn ratio(&self) -> f64 {
        self.storm.sign_ins.percentile(99.0) / self.quiet.percentile(99.0).max(f64::EPSILON)
    }
}

/// Measures and reports. Fails if a session that should live ends, or one that should end lives.
pub async fn run(options: LogoutOptions) -> anyhow::Result<()> {
    let progress = timed_progress(Instant::now());
    let mut testbed = LogoutTestbed::start(&progress).await?;
    // Connections, pools and the documents of the provider exist before anything is measured.
    sign_ins::run(&testbed, "first", options, options.warm_up()).await?;
    let mut runs = Vec::new();
    for (share, name) in [(Share::Half, "half"), (Share::All, "all")] {
        progress(&format!(
            "creating {} sessions",
            options.people() * SESSIONS
        ));
        let people = people::create(&testbed, name, options.people()).await?;
        progress("sign-ins without logout tokens");
        let quiet = format!("{name}-quiet");
        let (quiet, _) = sign_ins::run(&testbed, &quiet, options, options.length()).await?;
        progress(&format!("sign-ins while {name} of the sessions end"));
        let storm = storm::run(&mut testbed, name, &people, share, options).await?;
        runs.push(Run { quiet, storm });
    }
    write_result("logout", &markdown(&runs, options)?, options.report)?;
    anyhow::ensure!(
        runs.iter().all(|run| run.storm.is_right()),
        "the wrong sessions ended: see the table"
    );
    Ok(())
}

fn markdown(runs: &[Run], options: LogoutOptions) -> anyhow::Result<String> {
    let mut text = format!(
        "{}, shared with the load generator, PostgreSQL (`synchronous_commit=on`, `fsync=on`), RabbitMQ, \
         the demo provider, sync-svc and refresh-svc; load average {:.1}. {} sessions of {} people for \
         each run, {} sign-ins per second; each run takes {} s.\n\n\
         | sessions that end | logout tokens | refused by the other replica: p50 / p99 / longest ms | \
         not accepted, or later than 2 s | live and should not | ended and should not | events |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        machine::description(),
        machine::load(),
        options.people() * SESSIONS,
        options.people(),
        options.sign_ins,
        options.length().as_secs(),
    );
    for Run { storm, .. } in runs {
        writeln!(
            text,
            "| {} | {} | {:.1} / {:.1} / {:.1} | {} | {} | {} | {} |",
            storm.ended,
            storm.tokens,
            storm.refused.percentile(50.0),
            storm.refused.percentile(99.0),
            storm.refused.percentile(100.0),
            storm.refused.failed,
            storm.wrongly_alive,
            storm.wrongly_ended,
            storm.events,
        )?;
    }
    text.push_str(
        "\n| sign-ins | number | failed | p50 ms | p99 ms | p99 by that without | goal |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for run in runs {
        row(&mut text, "without logout tokens", &run.quiet, "| |")?;
        let name = format!("while {} sessions end", run.storm.ended);
        let ratio = format!("{:.2} | < {GOAL} |", run.ratio());
        row(&mut text, &name, &run.storm.sign_ins, &ratio)?;
    }
    Ok(text)
}

fn row(text: &mut String, name: &str, measured: &Measurement, rest: &str) -> anyhow::Result<()> {
    writeln!(
        text,
        "| {name} | {} | {} | {:.1} | {:.1} | {rest}",
        measured.latencies.len(),
        measured.failed,
        measured.percentile(50.0),
        measured.percentile(99.0),
    )?;
    Ok(())
}
