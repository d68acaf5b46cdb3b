//! `cargo dev bench instructions`: how many instructions a call takes in the processes of refresh-svc
//! and of the service that does nothing. In contrast to a time, the number does not depend on the
//! machine's speed and on other processes. Instructions of the kernel are not counted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_domain::AccountId;
use latchkey_servers::{Package, ensure_installed};
use tokio::process::Command;
use tokio::time::timeout;

use crate::load::get_each_token;
use crate::options::ReportOptions;
use crate::report::{timed_progress, write_result};
use crate::testbed::{RunningService, Testbed};
use crate::tokens::refresh_svc_program;

/// Accounts, and calls of one round: one for each. Few, because a search through the cached accounts
/// comes every few seconds, in which a service under valgrind answers fifty times fewer calls.
const ACCOUNTS: usize = 200;
/// Rounds that are counted.
const ROUNDS: usize = 40;
/// Rounds before, of which each is in a second of its own. A response has the time in seconds, and
/// HPACK (RFC 7541) keeps the last ones of a connection, which are searched for each response: after a
/// minute a connection has as many as it keeps.
const SECONDS: usize = 64;
/// Connections, each with one call at a time.
const CONNECTIONS: usize = 16;
/// How long a command for callgrind takes at most.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);
/// Instructions by those of the null service.
const GOAL: f64 = 1.10;

/// Counts and reports.
pub async fn run(options: ReportOptions) -> anyhow::Result<()> {
    let progress = timed_progress(Instant::now());
    ensure_installed(&[Package::Valgrind], &progress)?;
    let testbed = Testbed::start(&progress).await?.counting_instructions();
    let accounts = Arc::new(testbed.add_valid(ACCOUNTS).await?);
    progress("the null service under valgrind");
    let name = "null-service";
    let service = testbed.null_service().await?;
    let null = count(&testbed, &service, name, &accounts).await?;
    drop(service);
    progress("refresh-svc under valgrind");
    let name = "refresh-svc";
    let service = testbed.refresh_svc(&refresh_svc_program()?, name).await?;
    let refresh_svc = count(&testbed, &service, name, &accounts).await?;
    drop(service);
    write_result("instructions", &markdown(null, refresh_svc), options)
}

/// Counts the instructions of calls whose tokens are cached.
async fn count(
    testbed: &Testbed,
    service: &RunningService,
    name: &str,
    accounts: &Arc<Vec<AccountId>>,
) -> anyhow::Result<f64> {
    let clients = testbed.connections(service.address, CONNECTIONS).await?;
    let round = async || {
        let refused = get_each_token(&clients, accounts, 1).await?;
        anyhow::ensure!(refused == 0, "{refused} tokens were refused");
        Ok(())
    };
    let mut second = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..SECONDS {
        second.tick().await;
        round().await?;
    }
    control("--zero", service.process).await?;
    for _ in 0..ROUNDS {
        round().await?;
    }
    control("--dump", service.process).await?;
    let first = testbed.counts(name).with_extension("callgrind.1");
    let text = run_program("callgrind_annotate", &[first.as_os_str()]).await?;
    per_call(&text, ROUNDS * accounts.len())
}

async fn control(command: &str, process: u32) -> anyhow::Result<()> {
    let process = process.to_string();
    run_program("callgrind_control", &[command.as_ref(), process.as_ref()]).await?;
    Ok(())
}

async fn run_program(program: &str, arguments: &[&std::ffi::OsStr]) -> anyhow::Result<String> {
    let mut command = Command::new(Path::new(program));
    let output = command.args(arguments).kill_on_drop(true).output();
    let output = timeout(COMMAND_TIMEOUT, output)
        .await
        .with_context(|| format!("{program} does not end"))?
        .with_context(|| format!("{program} does not start"))?;
    anyhow::ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn markdown(null: f64, refresh_svc: f64) -> String {
    format!(
        "{} calls over {CONNECTIONS} connections, one worker thread.\n\n\
         | service | instructions per call in user space | by the null service | goal |\n\
         | --- | --- | --- | --- |\n\
         | null service | {null:.0} | | |\n\
         | refresh-svc | {refresh_svc:.0} | {:.2} | ≤ {GOAL:.2} |\n",
        ROUNDS * ACCOUNTS,
        refresh_svc / null.max(f64::EPSILON),
    )
}

/// Reads the total of `callgrind_annotate`, and returns the instructions of one call.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
fn per_call(annotated: &str, calls: usize) -> anyhow::Result<f64> {
    let total = annotated
        .lines()
        .find(|line| line.ends_with("PROGRAM TOTALS"))
        .and_then(|line| line.trim_start().split(' ').next())
        .context("callgrind_annotate prints no total")?;
    let total: u64 = total.replace(',', "").parse().context("no number")?;
    Ok(total as f64 / calls.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_of_a_call_are_read_from_the_total() {
        let text = "Ir\n---\n10,000 (100.0%)  PROGRAM TOTALS\n---\n9,000 (90.0%)  ???:main\n";
        let instructions = per_call(text, 10).unwrap();
        assert!((instructions - 1_000.0).abs() < f64::EPSILON);
        assert!(per_call("nothing", 1).is_err());
    }
}
