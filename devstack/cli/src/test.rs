//! `cargo dev test`: every test of the workspace on private servers.

mod output;
mod report;
mod suites;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, Progress};

use crate::build::{cargo_spec, exit_code, workspace};
use crate::servers::Servers;
use output::{OUTPUT_TIMEOUT, Output};
use report::Report;
use suites::Suite;

/// Seed of the random tests; `.cargo/config.toml` sets it for a bare `cargo test`.
const SEED: &str = "PROPTEST_RNG_SEED";

/// How many tests of a suite run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// Tests for each core: most of a test is waiting for a server.
const THREADS_PER_CORE: usize = 2;

/// Which cases the random tests try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cases {
    /// The same cases in each run.
    Fixed,
    /// Other cases in each run; the seed is printed.
    Random,
}

/// Options of `cargo dev test`.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// Arguments for `cargo test`.
    pub arguments: Vec<OsString>,
    /// Cases of the random tests.
    pub cases: Cases,
    /// Tests the release build.
    pub release: bool,
}

/// Tests the workspace and returns the exit code. Every suite runs even if others fail; a
/// table at the end shows the result of each. With arguments for `cargo test`, one suite
/// runs after the other with its output on the terminal.
///
/// The launcher has built the binaries that end-to-end tests start.
///
/// # Errors
/// The servers do not start, or cargo cannot be run.
pub async fn run(options: &TestOptions, progress: &Progress) -> anyhow::Result<i32> {
    // `cargo test` and no other runner: the end-to-end tests of a file share one stack, and
    // therefore one process.
    let mut cargo: Vec<OsString> = vec!["test".into(), "--no-fail-fast".into()];
    if options.release {
        cargo.push("--release".into());
    }
    let arguments = options.arguments.as_slice();
    let selects_packages = arguments
        .iter()
        .any(|argument| argument == "-p" || argument == "--package");
    if !selects_packages {
        cargo.push("--workspace".into());
    }
    progress("building the tests");
    let (code, programs) = build_tests(&cargo, arguments).await?;
    if code != 0 {
        return Ok(code);
    }
    let servers = Servers::start_for_tests("test-servers", progress).await?;
    progress("testing");
    let mut variables = Vec::from(servers.test_variables());
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        variables.push((THREADS, (cores * THREADS_PER_CORE).to_string()));
    }
    if options.cases == Cases::Random {
        let seed = u64::from(rand::random::<u32>()).to_string();
        progress(&format!(
            "random cases; to try the same cases again, set {SEED}={seed}"
        ));
        variables.push((SEED, seed));
    }
    let (code, report) = if arguments.is_empty() {
        let report = suites::run(suites_of(&cargo, programs), &variables).await;
        (i32::from(!report.is_green()), report)
    } else {
        cargo.extend_from_slice(arguments);
        let names = programs.into_iter().map(Program::into_name).collect();
        test(&cargo, &variables, Report::new(names)).await?
    };
    let _ = writeln!(std::io::stdout(), "\n{report}");
    Ok(code)
}

/// A test program that cargo built.
#[derive(Debug)]
struct Program {
    /// Package and target, such as `auth-svc api`.
    name: String,
    file: PathBuf,
    /// Directory of its package: tests read files there.
    package: PathBuf,
}

impl Program {
    /// Returns the name of the file and that of the suite.
    fn into_name(self) -> (String, String) {
        let file = self.file.file_name().unwrap_or_default();
        (file.to_string_lossy().into_owned(), self.name)
    }
}

/// Returns the programs as suites, and the tests of the documentation, which cargo runs.
fn suites_of(cargo: &[OsString], programs: Vec<Program>) -> Vec<Suite> {
    let mut doc = cargo.to_vec();
    doc.push("--doc".into());
    let documentation = Suite {
        spec: cargo_spec(&doc, &[]),
        prints_names: true,
    };
    programs
        .into_iter()
        .map(|program| Suite {
            spec: ChildSpec::new(&program.name, program.file, &program.package, Path::new(""))
                .env("CARGO_MANIFEST_DIR", program.package),
            prints_names: false,
        })
        .chain([documentation])
        .collect()
}

/// Builds the test programs. Returns cargo's exit code and the programs.
async fn build_tests(
    cargo: &[OsString],
    arguments: &[OsString],
) -> anyhow::Result<(i32, Vec<Program>)> {
    let mut build = cargo.to_vec();
    build.push("--no-run".into());
    build.push("--message-format=json-render-diagnostics".into());
    // Arguments after `--` are for the programs.
    build.extend(arguments.iter().take_while(|one| *one != "--").cloned());
    let (reader, writer) = std::io::pipe()?;
    let mut spec = cargo_spec(&build, &[]);
    spec.stdout = Some(Arc::new(writer.into()));
    let reading = std::thread::spawn(move || {
        BufReader::new(reader)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| program_of(&line))
            .collect()
    });
    let code = exit_code(Child::start(spec)?).await?;
    let programs = reading
        .join()
        .ok()
        .context("cannot read cargo's messages")?;
    Ok((code, programs))
}

/// Returns the test program of a message of cargo, if the message is about one.
fn program_of(line: &str) -> Option<Program> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    // Examples are built too, but have no tests.
    message
        .pointer("/profile/test")?
        .as_bool()
        .filter(|is| *is)?;
    let file = PathBuf::from(message.get("executable")?.as_str()?);
    let package = Path::new(message.get("manifest_path")?.as_str()?).parent()?;
    let directory = package.strip_prefix(workspace()).unwrap_or(package);
    let directory = directory.to_str()?;
    let target = message.pointer("/target/name")?.as_str()?;
    let kind = message.pointer("/target/kind/0")?.as_str()?;
    let name = match kind {
        "test" => format!("{directory} {target}"),
        "lib" | "proc-macro" => format!("{directory} (unit)"),
        kind => format!("{directory} {target} ({kind})"),
    };
    Some(Program {
        name,
        file,
        package: package.to_owned(),
    })
}

/// Runs the tests. Their output goes to the terminal and into the report.
async fn test(
    cargo: &[OsString],
    variables: &[(&'static str, String)],
    report: Report,
) -> anyhow::Result<(i32, Report)> {
    let mut spec = cargo_spec(cargo, variables);
    let output = Output::of(&mut spec, report, |report, line| {
        let mut out = std::io::stdout();
        // The tests go on if the terminal has been closed.
        let _ = out.write_all(line).and_then(|()| out.flush());
        report.line(&String::from_utf8_lossy(line));
    })?;
    let code = exit_code(Child::start(spec)?).await?;
    let (report, _) = output.end(OUTPUT_TIMEOUT).await;
    let code = if code == 0 && !report.is_green() {
        1
    } else {
        code
    };
    Ok((code, report))
}
