//! `cargo dev bench scale`: what each statement of the services costs with few and with many
//! accounts, and the disk space of an account.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use latchkey_plans::fill::BYTES_PER_ACCOUNT;
use latchkey_plans::{Execution, Statement, Testbed, grouped, is_periodic};
use latchkey_servers::target_directory;
use nix::sys::statvfs::statvfs;

use crate::machine;
use crate::options::ScaleOptions;
use crate::report::{timed_progress, write_result};

/// The most buffers at the largest size, by those at the smallest.
const GOAL: f64 = 1.5;
/// Characters of a statement that are shown.
const SHOWN: usize = 72;
/// What stays free on the disk, in bytes.
const SPARE: u64 = 2_000_000_000;

/// A part of the statement with which refresh-svc finds the ends of the windows in which it looks for
/// tokens of earlier sealing keys. It reads few rows, but often after a start.
const BOUNDS_OF_WINDOWS: &str = "FROM (SELECT account_id FROM vault.credential";

/// The measurements of one statement, by size.
type Measured = BTreeMap<(String, String), Vec<Option<Statement>>>;
/// The buffers that the statements of each role touch for one person.
type OfPerson = BTreeMap<String, f64>;

/// Measures and reports.
pub async fn run(options: &ScaleOptions) -> anyhow::Result<()> {
    let mut sizes = options.accounts.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let largest = *sizes.last().context("no number of accounts is given")?;
    let progress = timed_progress(Instant::now());
    progress(&format!(
        "{largest} accounts take {} GB of disk",
        gigabytes(largest * BYTES_PER_ACCOUNT)
    ));
    ensure_space(largest)?;
    let mut testbed = Testbed::start("bench", &progress).await?;
    let mut measured = Measured::new();
    let mut of_persons = Vec::new();
    for (position, accounts) in sizes.iter().enumerate() {
        progress(&format!("filling the database up to {accounts} accounts"));
        testbed.grow(*accounts).await?;
        progress(&format!("{} people sign in", options.people));
        let measurement = testbed.measure(options.people).await?;
        of_persons.push(of_one_person(&measurement.use_by_people, options.people));
        for statement in grouped(measurement.all()) {
            let key = (statement.role.clone(), statement.text.clone());
            let of_sizes = measured
                .entry(key)
                .or_insert_with(|| vec![None; sizes.len()]);
            of_sizes[position] = Some(statement);
        }
    }
    let mut text = format!(
        "{}, load average {:.1}. {} people signed in at each size. Buffers of 8 KiB for one row, and \
         milliseconds of the execution, are medians.\n\n",
        machine::description(),
        machine::load(),
        options.people,
    );
    totals(&mut text, &sizes, &of_persons)?;
    statements(&mut text, &sizes, &measured)?;
    storage(&mut text, &testbed, largest).await?;
    write_result("scale", &text, options.report)
}

fn gigabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000_000)
}

/// Refuses a number of accounts for which the disk is too small.
fn ensure_space(accounts: u64) -> anyhow::Result<()> {
    let directory = target_directory();
    let disk = statvfs(&directory).with_context(|| directory.display().to_string())?;
    let free = disk.blocks_available() * disk.fragment_size();
    let needed = accounts * BYTES_PER_ACCOUNT + SPARE;
    anyhow::ensure!(
        needed <= free,
        "{accounts} accounts take {} GB, and {} GB are free at {}: choose fewer with --accounts",
        gigabytes(needed),
        gigabytes(free),
        directory.display(),
    );
    Ok(())
}

/// Divides the buffers of what `people` people caused.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
fn of_one_person(executions: &[Execution], people: usize) -> OfPerson {
    let mut buffers = OfPerson::new();
    for execution in executions {
        if !is_periodic(&execution.text) && !execution.text.contains(BOUNDS_OF_WINDOWS) {
            let of_role = buffers.entry(execution.role.clone()).or_default();
            *of_role += execution.buffers() as f64 / people as f64;
        }
    }
    buffers
}

/// The table of the buffers for one person, at each size.
fn totals(text: &mut String, sizes: &[u64], of_persons: &[OfPerson]) -> anyhow::Result<()> {
    let first = "buffers for one person, without periodic statements";
    heading(text, &[first], sizes, &["ratio", "goal"]);
    let Some((fewest, most)) = of_persons.first().zip(of_persons.last()) else {
        return Ok(());
    };
    for (role, fewest) in fewest {
        write!(text, "| {role} |")?;
        for buffers in of_persons {
            write!(text, " {:.0} |", buffers.get(role).unwrap_or(&0.0))?;
        }
        let ratio = most.get(role).unwrap_or(&0.0) / fewest;
        writeln!(text, " {ratio:.2} | ≤ {GOAL} |")?;
    }
    text.push('\n');
    Ok(())
}

/// The heading of a table that has a column for each size.
fn heading(text: &mut String, before: &[&str], sizes: &[u64], after: &[&str]) {
    let sizes = sizes.iter().map(|accounts| format!("{accounts} accounts"));
    let before = before.iter().map(ToString::to_string);
    let columns: Vec<String> = before
        .chain(sizes)
        .chain(after.iter().map(ToString::to_string))
        .collect();
    let line = vec!["---"; columns.len()];
    for row in [columns.join(" | "), line.join(" | ")] {
        text.push_str("| ");
        text.push_str(&row);
        text.push_str(" |\n");
    }
}

fn statements(text: &mut String, sizes: &[u64], measured: &Measured) -> anyhow::Result<()> {
    let before = ["role", "statement", "executions"];
    heading(text, &before, sizes, &["ratio", "ms"]);
    let mut above = 0;
    let mut compared = 0;
    for ((role, statement), of_sizes) in measured {
        let buffers: Vec<Option<f64>> = of_sizes
            .iter()
            .map(|one| one.as_ref().map(Statement::buffers))
            .collect();
        let (Some(Some(fewest)), Some(Some(most))) = (buffers.first(), buffers.last()) else {
            continue;
        };
        // A statement that touches nothing, such as one that notifies, does not grow.
        let ratio = if *most > 0.0 {
            most / fewest.max(1.0)
        } else {
            1.0
        };
        compared += 1;
        above += usize::from(ratio > GOAL);
        let shown: String = statement.replace('|', "\\|").chars().take(SHOWN).collect();
        let largest = of_sizes.last().and_then(Option::as_ref);
        let executions = largest.map_or(0, |statement| statement.executions.len());
        write!(text, "| {role} | `{shown}` | {executions} |")?;
        for buffers in &buffers {
            match buffers {
                Some(buffers) => write!(text, " {buffers:.0} |")?,
                None => text.push_str(" – |"),
            }
        }
        let milliseconds = largest.map_or(0.0, Statement::milliseconds);
        writeln!(text, " {ratio:.2} | {milliseconds:.2} |")?;
    }
    writeln!(
        text,
        "\n{above} of {compared} statements touch more than {GOAL} times the buffers (goal: none of an \
         event or a call).\n"
    )?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
async fn storage(text: &mut String, testbed: &Testbed, accounts: u64) -> anyhow::Result<()> {
    text.push_str("| table with its indexes | bytes per account |\n| --- | --- |\n");
    let mut total = 0.0;
    for (table, bytes) in testbed.sizes().await? {
        let each = bytes as f64 / accounts as f64;
        total += each;
        writeln!(text, "| `{table}` | {each:.0} |")?;
    }
    writeln!(text, "| all | {total:.0} |")?;
    Ok(())
}
