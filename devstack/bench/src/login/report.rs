//! The report of `cargo dev bench login`.

use std::fmt::Write as _;
use std::time::Duration;

use super::event_path::EventPath;
use super::loops::{Closed, Open};
use super::parts::{LAST, PARTS, Parts};
use super::starts::Starts;
use super::statements::Plain;
use crate::comparison::median;
use crate::load::Measurement;
use crate::machine::{self, mebibytes};

/// Resident memory of an idle service in MiB.
const MEMORY_GOAL: f64 = 30.0;
/// Time of a start in seconds.
const START_GOAL: f64 = 1.0;
/// Time from the callback to the committed account at half load in milliseconds, 99th percentile.
const COMMITTED_GOAL: f64 = 250.0;
/// Processor time of sync-svc by that of the same statements.
const PROCESSOR_GOAL: f64 = 2.0;
/// Rate of the path of events by that of the same statements.
const PATH_GOAL: f64 = 0.5;

/// All results.
pub struct Report {
    /// The machine's load average before and after.
    pub loads: (f64, f64),
    /// The starts of each service.
    pub starts: Vec<Starts>,
    /// The closed loop.
    pub closed: Closed,
    /// One sign-in at a time.
    pub idle: Open,
    /// Half load.
    pub half: Open,
    /// The statements of auth-svc by plain sqlx.
    pub sign_ins: Plain,
    /// The statements of sync-svc by plain sqlx.
    pub connections: Plain,
    /// The path of events.
    pub paths: Vec<EventPath>,
    /// The parts of each traced sign-in.
    pub parts: Vec<Parts>,
}

impl Report {
    /// Returns the report for docs/performance.md.
    pub fn markdown(&self) -> anyhow::Result<String> {
        let (before, after) = self.loads;
        let mut text = format!(
            "{}, shared by the services, PostgreSQL with `synchronous_commit=on` and `fsync=on`, \
             RabbitMQ, the browsers and the provider; load average {before:.1} before, {after:.1} \
             after. Every sign-in is the first of a new person and connects an account.\n",
            machine::description(),
        );
        self.sign_ins(&mut text)?;
        self.latencies(&mut text)?;
        self.processor(&mut text)?;
        self.paths(&mut text)?;
        self.parts(&mut text)?;
        self.starts(&mut text)?;
        Ok(text.trim_end().to_owned())
    }

    fn sign_ins(&self, text: &mut String) -> anyhow::Result<()> {
        let callbacks = self.closed.callbacks.rate();
        let limit = self.sign_ins.rate;
        writeln!(
            text,
            "\n| closed loop, {} sign-ins | per second | by plain sqlx |\n\
             | --- | --- | --- |\n\
             | forms of the sign-in page, which begin sign-ins | {:.0} | |\n\
             | callbacks, while sync-svc connects the accounts | {callbacks:.0} | {:.2} |\n\
             | accounts, from the first callback to the last account | {:.0} | |\n\
             | statements of the callbacks by plain sqlx, alone | {limit:.0} | |\n\
             | statements of the connections by plain sqlx, alone | {:.0} | |",
            self.closed.callbacks.latencies.len(),
            self.closed.begun.rate(),
            callbacks / limit.max(f64::EPSILON),
            self.closed.accounts_rate,
            self.connections.rate,
        )?;
        Ok(())
    }

    fn latencies(&self, text: &mut String) -> anyhow::Result<()> {
        text.push_str(
            "\n| time in ms | load | p50 | p95 | p99 | goal |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        let mut row = |what: &str, load: &str, measured: &Measurement, goal: &str| {
            writeln!(
                text,
                "| {what} | {load} | {:.1} | {:.1} | {:.1} | {goal} |",
                measured.percentile(50.0),
                measured.percentile(95.0),
                measured.percentile(99.0),
            )
        };
        let half = format!("half: {:.0} per second", self.half.rate);
        let idle = format!("idle: {:.0} per second", self.idle.rate);
        let callback = "callback until its response";
        let committed = "callback until the committed account";
        let goal = format!("p99 ≤ {COMMITTED_GOAL}");
        row(callback, &idle, &self.idle.callbacks, "")?;
        row(callback, &half, &self.half.callbacks, "")?;
        row(callback, "closed loop", &self.closed.callbacks, "")?;
        row(committed, &idle, &self.idle.committed, "")?;
        row(committed, &half, &self.half.committed, &goal)?;
        row(committed, "closed loop", &self.closed.committed, "")?;
        Ok(())
    }

    fn processor(&self, text: &mut String) -> anyhow::Result<()> {
        text.push_str("\n| processor time for one sign-in | ms |\n| --- | --- |\n");
        for (name, time) in &self.closed.processor {
            writeln!(text, "| {name} | {:.2} |", milliseconds(*time))?;
        }
        let plain = milliseconds(self.connections.processor);
        writeln!(
            text,
            "| statements of auth-svc by plain sqlx | {:.2} |\n\
             | statements of sync-svc by plain sqlx | {plain:.2} |",
            milliseconds(self.sign_ins.processor),
        )?;
        if let Some(path) = self.paths.first() {
            let sync = milliseconds(path.sync_processor);
            writeln!(
                text,
                "\nsync-svc needs {sync:.2} ms for each connection of a backlog, with the \
                 publication of its own events: {:.2} times its statements by plain sqlx (goal: at \
                 most {PROCESSOR_GOAL}). The relay of auth-svc needs {:.2} ms for each event.",
                sync / plain.max(f64::EPSILON),
                milliseconds(path.relay_processor),
            )?;
        }
        Ok(())
    }

    fn paths(&self, text: &mut String) -> anyhow::Result<()> {
        text.push_str(
            "\n| replicas of auth-svc and sync-svc | events | accounts | per second | by plain sqlx | goal |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for (number, path) in self.paths.iter().enumerate() {
            let killed = if path.killed {
                ", one of each killed halfway"
            } else {
                ""
            };
            let goal = match number {
                0 => format!("≥ {PATH_GOAL}"),
                _ => String::new(),
            };
            writeln!(
                text,
                "| {}{killed} | {} | {} | {:.0} | {:.2} | {goal} |",
                path.replicas,
                path.events,
                path.accounts,
                path.rate,
                path.rate / self.connections.rate.max(f64::EPSILON),
            )?;
        }
        Ok(())
    }

    fn parts(&self, text: &mut String) -> anyhow::Result<()> {
        text.push_str("\n| part of one sign-in, idle | p50 ms | mean ms |\n| --- | --- | --- |\n");
        for (number, name) in PARTS.into_iter().chain([LAST]).enumerate() {
            let times = || self.parts.iter().map(|parts| parts[number]);
            #[expect(clippy::cast_precision_loss, reason = "some hundred")]
            let mean = times().sum::<f64>() / self.parts.len().max(1) as f64;
            writeln!(text, "| {name} | {:.2} | {mean:.2} |", median(times()))?;
        }
        Ok(())
    }

    fn starts(&self, text: &mut String) -> anyhow::Result<()> {
        writeln!(
            text,
            "\n| service | start until ready, each in s (goal: ≤ {START_GOAL:.0}) | idle, MiB resident \
             (goal: ≤ {MEMORY_GOAL:.0}) | of which heap and stacks | after the closed loop |\n\
             | --- | --- | --- | --- | --- |"
        )?;
        for (starts, (_, after)) in self.starts.iter().zip(&self.closed.memory) {
            let ready: Vec<String> = starts
                .ready
                .iter()
                .map(|time| format!("{:.2}", time.as_secs_f64()))
                .collect();
            writeln!(
                text,
                "| {} | {} | {:.1} | {:.1} | {:.1} |",
                starts.service,
                ready.join(", "),
                mebibytes(starts.memory.all),
                mebibytes(starts.memory.anonymous),
                mebibytes(after.all),
            )?;
        }
        Ok(())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
