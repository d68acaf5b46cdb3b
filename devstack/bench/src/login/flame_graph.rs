//! A flame graph of auth-svc and sync-svc during sign-ins, by `perf` and the programs of the crate
//! `inferno`. That crate is not linked, because of its licence.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use devstack::ServiceId;
use latchkey_servers::{Child, ChildSpec};

use super::callbacks::{self, AT_ONCE};
use super::people;
use super::testbed::LoginTestbed;

/// Sign-ins that are recorded.
const SIGN_INS: usize = 1_500;

/// Records sign-ins and draws the picture.
pub async fn draw(testbed: &mut LoginTestbed, picture: &Path) -> anyhow::Result<()> {
    let services = [ServiceId::Auth, ServiceId::Sync];
    let processes: anyhow::Result<Vec<String>> = services
        .into_iter()
        .map(|id| Ok(testbed.process(id)?.to_string()))
        .collect();
    let processes = processes?.join(",");
    let (people, _) = people::begin(testbed, "flame", SIGN_INS).await?;
    let directory = testbed.stack.directory();
    let (samples, log) = (directory.join("perf.data"), directory.join("perf.log"));
    let mut spec = ChildSpec::new("perf", "perf", &directory, &log);
    for argument in ["record", "-F", "199", "-e", "cpu-clock"] {
        spec = spec.arg(argument);
    }
    let recording = Child::start(
        spec.arg("--call-graph")
            // Release builds have no frame pointers.
            .arg("dwarf,16384")
            .arg("-p")
            .arg(processes)
            .arg("-o")
            .arg(&samples),
    )
    .context("`perf` is needed: apt-get install linux-perf")?;
    callbacks::closed(&callbacks::client()?, people, AT_ONCE).await?;
    testbed.committed("flame", SIGN_INS).await?;
    // It writes the rest of its samples when it is terminated.
    drop(recording);
    let picture = picture.to_owned();
    tokio::task::spawn_blocking(move || draw_samples(&samples, &picture)).await?
}

fn draw_samples(samples: &Path, picture: &Path) -> anyhow::Result<()> {
    const MISSING: &str = "the programs of inferno are needed: cargo install inferno --locked";
    let mut stacks = Command::new("perf")
        .args(["script", "--no-inline", "-i"])
        .arg(samples)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("perf script")?;
    let lines = stacks.stdout.take().context("perf script has no output")?;
    let mut folded = Command::new("inferno-collapse-perf")
        .stdin(lines)
        .stdout(Stdio::piped())
        .spawn()
        .context(MISSING)?;
    let lines = folded.stdout.take().context("inferno has no output")?;
    let drawn = Command::new("inferno-flamegraph")
        .args([
            "--title",
            "CPU time of auth-svc and sync-svc during sign-ins",
        ])
        .stdin(lines)
        .output()
        .context(MISSING)?;
    let succeeded = stacks.wait()?.success() && folded.wait()?.success() && drawn.status.success();
    anyhow::ensure!(
        succeeded,
        "the flame graph was not drawn: {}",
        String::from_utf8_lossy(&drawn.stderr)
    );
    Ok(std::fs::write(picture, drawn.stdout)?)
}
