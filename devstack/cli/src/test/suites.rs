//! Runs the test programs, several at once: most of a suite is waiting for a server, and
//! one after the other they leave the cores idle.

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

/// A suite that takes longer is ended and counts as failed: something in it waits for
/// ever.
const LIMIT: Duration = Duration::from_mins(15);

/// Where the times of the last run are.
const TIMES: &str = "suite-times.json";

/// A program that runs tests: its name, how it is started, and the directory that its
/// tests expect.
#[derive(Debug, Clone)]
pub struct Suite {
    /// How it is started; its name is package and target, such as `auth-svc api`.
    pub spec: ChildSpec,
    /// Whether the program tells the names of suites itself, as cargo does.
    pub tells_names: bool,
}

/// Runs every suite, whatever fails.
///
/// # Errors
/// A program cannot be started.
pub async fn run(
    mut suites: Vec<Suite>,
    variables: &[(&'static str, String)],
) -> anyhow::Result<Report> {
    let at_once = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let times = Times::read();
    // The longest first, so that none of them runs alone at the end.
    suites.sort_by_key(|suite| std::cmp::Reverse(times.of(&suite.spec.name)));
    let all = suites.len();
    let mut running = stream::iter(suites)
        .map(|suite| run_one(suite, variables))
        .buffer_unordered(at_once);
    let (mut report, mut taken) = (Report::default(), HashMap::new());
    while let Some(ended) = running.next().await {
        let Ended {
            name,
            of_suite,
            output,
            took,
        } = ended?;
        taken.insert(name.clone(), took.as_secs_f64());
        let (ended, took) = (taken.len(), took.as_secs());
        let mut out = std::io::stdout();
        // A terminal that is gone does not stop the tests.
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
    Times(taken).write();
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
        tells_names,
    } = suite;
    let name = spec.name.clone();
    let (mut reader, writer) = std::io::pipe()?;
    // One pipe for both, so that a test's name comes before its complaint.
    let pipe = Arc::new(writer.into());
    spec.log = None;
    spec.stdout = Some(Arc::clone(&pipe));
    spec.stderr = Some(pipe);
    for (variable, value) in variables {
        spec = spec.env(variable, value);
    }
    let begun = Instant::now();
    let mut child = Child::start(spec)?;
    // What was read before a failure is printed all the same.
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = tokio::time::timeout(LIMIT, child.wait()).await;
    // Also the processes that its tests left behind, which hold its output open.
    drop(child);
    let took = begun.elapsed();
    let output = tokio::time::timeout(super::LAST_LINES, reading)
        .await
        .context("a suite's output stays open")?
        .context("a suite's output was lost")?;
    let is_well = matches!(status, Ok(Some(status)) if status.success());
    let heading = (!tells_names).then_some(name.as_str());
    let of_suite = Report::of(heading, &output, is_well);
    Ok(Ended {
        name,
        of_suite,
        output,
        took,
    })
}

/// How many seconds each suite took.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Times(HashMap<String, f64>);

impl Times {
    fn path() -> PathBuf {
        target_directory().join(TIMES)
    }

    fn read() -> Self {
        std::fs::read(Self::path())
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    /// A suite that is not known may be a long one.
    fn of(&self, name: &str) -> Duration {
        let seconds = self.0.get(name).copied().unwrap_or(LIMIT.as_secs_f64());
        Duration::try_from_secs_f64(seconds).unwrap_or(LIMIT)
    }

    fn write(&self) {
        if let Ok(text) = serde_json::to_vec(self) {
            // Without it the next run only begins in another order.
            let _ = std::fs::write(Self::path(), text);
        }
    }
}
