//! The report of a benchmark.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_servers::{Progress, print_message};

use crate::comparison::{Comparison, Series};
use crate::load::Measurement;
use crate::options::ReportOptions;
use crate::storm::Storm;
use crate::testbed::TOKEN_BYTES;
use crate::{machine, plot};

/// The cost of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident bytes with connections and without accounts.
    pub before: u64,
    /// Resident bytes with all accounts cached.
    pub after: u64,
    /// How long the first request for each account took in total.
    pub cold: Duration,
}

/// All results of `cargo dev bench tokens`.
pub struct Report {
    /// Number of accounts with a valid, cached token.
    pub accounts: usize,
    /// Number of connections.
    pub connections: usize,
    /// Memory of refresh-svc.
    pub memory: Memory,
    /// Results of the closed loop.
    pub closed: Comparison,
    /// Results of the open loop.
    pub open: Comparison,
    /// Results of the storms.
    pub storms: Vec<Storm>,
    /// The machine's load average before and after.
    pub loads: (f64, f64),
    /// Duration of the whole benchmark.
    pub took: Duration,
}

/// Prints the report and writes it with its plot below target/bench, or into docs/ with
/// `--keep`.
pub fn write(report: &Report, options: ReportOptions) -> anyhow::Result<()> {
    let curves = [
        ("null service, closed loop", report.closed.null.all()?),
        ("refresh-svc, closed loop", report.closed.refresh_svc.all()?),
        ("null service, open loop", report.open.null.all()?),
        ("refresh-svc, open loop", report.open.refresh_svc.all()?),
    ];
    let svg = plot::latencies(&curves);
    write_result("tokens", &markdown(report)?, options)?;
    Ok(std::fs::write(picture("tokens", options)?, svg)?)
}

/// Returns the path of the picture of a result.
pub fn picture(name: &str, options: ReportOptions) -> anyhow::Result<PathBuf> {
    Ok(if options.keep {
        docs().join(format!("performance-{name}.svg"))
    } else {
        results()?.join(format!("{name}.svg"))
    })
}

/// Prints a result and writes it below target/bench or, with `--keep`, between its marks in
/// docs/performance.md.
pub fn write_result(name: &str, text: &str, options: ReportOptions) -> anyhow::Result<()> {
    // The result is written even if the output has been closed.
    let _ = writeln!(std::io::stdout(), "{text}");
    if !options.keep {
        let file = results()?.join(format!("{name}.md"));
        std::fs::write(&file, text)?;
        print_message(&format!("· written to {}", file.display()));
        return Ok(());
    }
    let page = docs().join("performance.md");
    let old = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let [begin, end] = ["begin", "end"].map(|mark| format!("<!-- bench {name}: {mark} -->\n"));
    let (head, rest) = old
        .split_once(&begin)
        .context("docs/performance.md has no begin mark for this result")?;
    let (_, tail) = rest
        .split_once(&end)
        .context("docs/performance.md has no end mark for this result")?;
    std::fs::write(&page, format!("{head}{begin}\n{text}\n{end}{tail}"))?;
    print_message(&format!("· written to {}", page.display()));
    Ok(())
}

/// Returns a [`Progress`] that prints the seconds since `begun` before each line.
pub fn timed_progress(begun: Instant) -> Progress {
    Arc::new(move |line| print_message(&format!("· {:>3} s  {line}", begun.elapsed().as_secs())))
}

fn results() -> anyhow::Result<PathBuf> {
    let directory = latchkey_servers::target_directory().join("bench");
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn docs() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).join("docs")
}

fn markdown(report: &Report) -> anyhow::Result<String> {
    let mut text = String::new();
    let (before, after) = report.loads;
    writeln!(
        text,
        "Machine: {}, shared with the load generator, PostgreSQL and the demo provider; \
         load average {before:.1} before, {after:.1} after. {} accounts live and cached, \
         tokens of {TOKEN_BYTES} bytes, {} connections with mutual TLS; {} s in all.\n",
        machine::description(),
        report.accounts,
        report.connections,
        report.took.as_secs(),
    )?;
    text.push_str(
        "| load | service | calls/s | p50 ms | p90 ms | p99 ms | p99.9 ms | failed | service's CPU µs/call |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (load, pair) in [("closed", &report.closed), ("open", &report.open)] {
        row(&mut text, load, "null", &pair.null)?;
        row(&mut text, load, "refresh-svc", &pair.refresh_svc)?;
    }
    text.push_str(
        "\n| refresh-svc by null, median of the rounds | closed | open | goal |\n\
         | --- | --- | --- | --- |\n",
    );
    let both = |number: &dyn Fn(&Measurement) -> f64| {
        (report.closed.ratio(number), report.open.ratio(number))
    };
    let (closed, open) = both(&Measurement::rate);
    writeln!(text, "| throughput | {closed:.2} | {open:.2} | ≥ 0.85 |")?;
    for (name, percentile, goal) in [("p50", 50.0, ""), ("p99", 99.0, "≤ 1.3")] {
        let (closed, open) = both(&|round: &Measurement| round.percentile(percentile));
        writeln!(text, "| {name} | {closed:.2} | {open:.2} | {goal} |")?;
    }
    memory(&mut text, report)?;
    if !report.storms.is_empty() {
        storms(&mut text, &report.storms)?;
    }
    Ok(text)
}

fn row(text: &mut String, load: &str, service: &str, series: &Series) -> anyhow::Result<()> {
    let all = series.all()?;
    writeln!(
        text,
        "| {load} | {service} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.0} |",
        all.rate(),
        all.percentile(50.0),
        all.percentile(90.0),
        all.percentile(99.0),
        all.percentile(99.9),
        all.failed,
        series.processor_per_call(),
    )?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
fn memory(text: &mut String, report: &Report) -> anyhow::Result<()> {
    let Memory {
        before,
        after,
        cold,
    } = report.memory;
    let accounts = report.accounts as f64;
    let each = after.saturating_sub(before) as f64 / accounts;
    writeln!(
        text,
        "\nMemory: {:.1} MiB resident before, {:.1} MiB with all accounts cached: {each:.0} bytes \
         per account, {:.0} beyond the token itself (goal: under 2048). First requests, \
         read from the database and opened: {:.0} accounts per second.",
        machine::mebibytes(before),
        machine::mebibytes(after),
        each - TOKEN_BYTES as f64,
        accounts / cold.as_secs_f64().max(f64::EPSILON),
    )?;
    Ok(())
}

fn storms(text: &mut String, storms: &[Storm]) -> anyhow::Result<()> {
    text.push_str(
        "\n| storm over three replicas | provider answers in | requests at the provider | failed | p50 | p99 | p99 beyond the provider |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for storm in storms {
        let waited = |percentile| storm.waited.percentile(percentile) / 1000.0;
        let plural = if storm.accounts == 1 { "" } else { "s" };
        let times = match (storm.times, storm.median_of) {
            (1, 1) => String::new(),
            (1, storms) => format!(", the median of {storms} storms"),
            (times, _) => format!(", {times} times"),
        };
        writeln!(
            text,
            "| {} callers on {} expired account{plural}{times} | {} s | {} | {} | {:.3} s | {:.3} s | {:.0} ms |",
            storm.callers,
            storm.accounts,
            storm.provider.as_secs(),
            storm.refreshes,
            storm.waited.failed,
            waited(50.0),
            waited(99.0),
            (waited(99.0) - storm.provider.as_secs_f64()) * 1000.0,
        )?;
    }
    Ok(())
}
