//! Runs several test programs at once: a suite mostly waits for a server, so that one
//! suite after the other would leave the cores idle.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use latchkey_servers::{Child, ChildSpec, LEFT_OUT, target_directory};

use super::output::{OUTPUT_TIMEOUT, Output};
use super::report::Report;

/// A suite that takes longer is stopped and counts as failed.
const TIMEOUT: Duration = Duration::from_mins(15);

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
pub async fn run(mut suites: Vec<Suite>, variables: &[(&'static str, String)]) -> Report {
    let at_once = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let durations = Durations::read();
    // The longest suite first, so that it does not run alone at the end.
    suites.sort_by_key(|suite| std::cmp::Reverse(durations.get(&suite.spec.name)));
    let all = suites.len();
    let mut running = stream::iter(suites)
        .map(|suite| run_one(suite, variables, TIMEOUT))
        .buffer_unordered(at_once);
    let (mut report, mut durations) = (Report::default(), HashMap::new());
    while let Some(ended) = running.next().await {
        let Ended {
            name,
            of_suite,
            output,
            took,
        } = ended;
        durations.insert(name.clone(), took.as_secs_f64());
        let (ended, took) = (durations.len(), took.as_secs());
        let mut out = std::io::stdout();
        // The tests go on if the terminal has been closed.
        let _ = if of_suite.is_green() {
            writeln!(
                out,
                "{}[{ended}/{all}] {name}: passed in {took} s",
                left_out(&output)
            )
        } else {
            writeln!(
                out,
                "{output}\n[{ended}/{all}] {name}: FAILED after {took} s"
            )
        };
        report.append(of_suite);
    }
    Durations(durations).write();
    report
}

/// Returns the lines about tests that did not run.
fn left_out(output: &str) -> String {
    let lines = output.split_inclusive('\n');
    lines.filter(|line| line.starts_with(LEFT_OUT)).collect()
}

struct Ended {
    name: String,
    of_suite: Report,
    output: String,
    took: Duration,
}

/// A suite that cannot be run to its end counts as failed.
async fn run_one(suite: Suite, variables: &[(&'static str, String)], timeout: Duration) -> Ended {
    let Suite {
        mut spec,
        prints_names,
    } = suite;
    let name = spec.name.clone();
    for (variable, value) in variables {
        spec = spec.env(variable, value);
    }
    let begun = Instant::now();
    let (output, succeeded) = run_program(spec, timeout)
        .await
        .unwrap_or_else(|error| (format!("{error:#}"), false));
    let heading = (!prints_names).then_some(name.as_str());
    Ended {
        of_suite: Report::of(heading, &output, succeeded),
        name,
        output,
        took: begun.elapsed(),
    }
}

/// Returns the output of a program and whether it succeeded.
async fn run_program(mut spec: ChildSpec, timeout: Duration) -> anyhow::Result<(String, bool)> {
    let append = |text: &mut Vec<u8>, line: &[u8]| text.extend_from_slice(line);
    let output = Output::of(&mut spec, Vec::new(), append)?;
    let mut child = Child::start(spec)?;
    let status = tokio::time::timeout(timeout, child.wait()).await;
    // This also stops processes that the tests left behind, which keep the output open.
    drop(child);
    let (bytes, is_closed) = output.end(OUTPUT_TIMEOUT).await;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if status.is_err() {
        let _ = write!(text, "\nstopped because it took longer than {timeout:?}");
    }
    if !is_closed {
        text.push_str("\na process that the tests left behind keeps the output open");
    }
    let succeeded = is_closed && matches!(status, Ok(Some(status)) if status.success());
    Ok((text, succeeded))
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    async fn run_shell(program: &str, timeout: Duration) -> Ended {
        let spec = ChildSpec::new("auth-svc api", program, Path::new("/"), Path::new(""))
            .arg("-c")
            .arg("echo begun; sleep 1000");
        let suite = Suite {
            spec,
            prints_names: false,
        };
        run_one(suite, &[], timeout).await
    }

    #[tokio::test]
    async fn a_suite_that_takes_too_long_is_stopped_and_counts_as_failed() {
        let ended = run_shell("sh", Duration::from_secs(1)).await;
        assert!(!ended.of_suite.is_green());
        assert_eq!(
            ended.output,
            "begun\n\nstopped because it took longer than 1s"
        );
    }

    #[test]
    fn a_test_that_did_not_run_is_shown_in_one_line() {
        let output =
            "running 2 tests\nleft out: the caller in Go: go is not installed\ntest a ... ok\n";
        assert_eq!(
            left_out(output),
            "left out: the caller in Go: go is not installed\n"
        );
    }

    #[tokio::test]
    async fn a_suite_that_cannot_be_started_counts_as_failed() {
        let ended = run_shell("/no/program", TIMEOUT).await;
        assert!(!ended.of_suite.is_green());
        assert!(ended.output.contains("/no/program"), "{}", ended.output);
    }
}
