//! Runs several test programs at once: a suite mostly waits for a server, so that one
//! suite after the other would leave the cores idle.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::stream::{self, StreamExt as _};
use latchkey_servers::{Child, ChildSpec, target_directory};

use super::report::Report;

/// A suite that takes longer is stopped and counts as failed.
const TIMEOUT: Duration = Duration::from_mins(15);

/// How long the output may stay open after a program has ended: a process that a test left
/// behind must not delay the table.
pub(super) const OUTPUT_TIMEOUT: Duration = Duration::from_secs(5);

/// File with the durations of the last run, in cargo's target directory.
const DURATIONS_FILE: &str = "suite-times.json";

/// A program that runs tests.
#[derive(Debug, Clone)]
pub struct Suite {
    /// How it is started; its name is package and target, such as `auth-svc api`.
    pub spec: ChildSpec,
    /// Whether the program prints the names of suites itself, as cargo does.
    pub prints_names: bool,
}

/// Runs every suite, even if others fail.
///
/// # Errors
/// A program cannot be started.
pub async fn run(
    mut suites: Vec<Suite>,
    variables: &[(&'static str, String)],
) -> anyhow::Result<Report> {
    let at_once = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let durations = Durations::read();
    // The longest suite first, so that it does not run alone at the end.
    suites.sort_by_key(|suite| std::cmp::Reverse(durations.get(&suite.spec.name)));
    let all = suites.len();
    let mut running = stream::iter(suites)
        .map(|suite| run_one(suite, variables))
        .buffer_unordered(at_once);
    let (mut report, mut durations) = (Report::default(), HashMap::new());
    while let Some(ended) = running.next().await {
        let Ended {
            name,
            of_suite,
            output,
            took,
        } = ended?;
        durations.insert(name.clone(), took.as_secs_f64());
        let (ended, took) = (durations.len(), took.as_secs());
        let mut out = std::io::stdout();
        // The tests go on if the terminal has been closed.
        let _ = if of_suite.is_green() {
            writeln!(out, "[{ended}/{all}] {name}: passed in {took} s")
        } else {
            writeln!(
                out,
                "{output}\n[{ended}/{all}] {name}: FAILED after {took} s"
            )
        };
        report.append(of_suite);
    }
    Durations(durations).write();
    Ok(report)
}

struct Ended {
    name: String,
    of_suite: Report,
    output: String,
    took: Duration,
}

async fn run_one(suite: Suite, variables: &[(&'static str, String)]) -> anyhow::Result<Ended> {
    let Suite {
        mut spec,
        prints_names,
    } = suite;
    let name = spec.name.clone();
    let (mut reader, writer) = std::io::pipe()?;
    // One pipe for both streams keeps the name of a test before its messages.
    let pipe = Arc::new(writer.into());
    spec.log = None;
    spec.stdout = Some(Arc::clone(&pipe));
    spec.stderr = Some(pipe);
    for (variable, value) in variables {
        spec = spec.env(variable, value);
    }
    let begun = Instant::now();
    let mut child = Child::start(spec)?;
    // Output that was read before an error is printed.
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = tokio::time::timeout(TIMEOUT, child.wait()).await;
    // This also stops processes that the tests left behind, which keep the output open.
    drop(child);
    let took = begun.elapsed();
    let output = tokio::time::timeout(OUTPUT_TIMEOUT, reading)
        .await
        .context("a process keeps the output of a suite open")?
        .context("cannot read the output of a suite")?;
    let succeeded = matches!(status, Ok(Some(status)) if status.success());
    let heading = (!prints_names).then_some(name.as_str());
    let of_suite = Report::of(heading, &output, succeeded);
    Ok(Ended {
        name,
        of_suite,
        output,
        took,
    })
}

/// Duration of each suite in seconds.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Durations(HashMap<String, f64>);

impl Durations {
    fn path() -> PathBuf {
        target_directory().join(DURATIONS_FILE)
    }

    fn read() -> Self {
        std::fs::read(Self::path())
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    /// A new suite counts as a long one.
    fn get(&self, name: &str) -> Duration {
        let seconds = self.0.get(name).copied().unwrap_or(TIMEOUT.as_secs_f64());
        Duration::try_from_secs_f64(seconds).unwrap_or(TIMEOUT)
    }

    fn write(&self) {
        if let Ok(text) = serde_json::to_vec(self) {
            // Without the file the next run only starts in another order.
            let _ = std::fs::write(Self::path(), text);
        }
    }
}
