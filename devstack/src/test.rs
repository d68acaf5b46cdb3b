//! `cargo dev test`: every test of the workspace on servers of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, Progress};

use crate::servers::Servers;

/// Builds and tests the workspace; `arguments` go to `cargo test`.
///
/// # Errors
/// The servers do not start, or cargo cannot be run.
pub async fn run(arguments: &[OsString], progress: &Progress) -> anyhow::Result<i32> {
    // The binaries first: end-to-end tests start them.
    progress("building the workspace");
    let code = cargo(&["build".into(), "--workspace".into(), "--bins".into()], &[]).await?;
    if code != 0 {
        return Ok(code);
    }
    let servers = Servers::start("test-servers", progress).await?;
    let variables = servers.test_variables();
    let with_nextest = on_path("cargo-nextest");
    let head: &[&str] = if with_nextest {
        &["nextest", "run", "--workspace"]
    } else {
        &["test", "--workspace"]
    };
    progress(&format!("cargo {}", head.join(" ")));
    let mut all: Vec<OsString> = head.iter().map(OsString::from).collect();
    all.extend_from_slice(arguments);
    let code = cargo(&all, &variables).await?;
    if code != 0 || !with_nextest {
        return Ok(code);
    }
    cargo(&["test".into(), "--workspace".into(), "--doc".into()], &variables).await
}

/// Runs cargo with its output on the terminal and answers its exit code.
async fn cargo(arguments: &[OsString], variables: &[(&str, String)]) -> anyhow::Result<i32> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut spec = ChildSpec::new("cargo", PathBuf::from(program), &workspace(), Path::new(""));
    spec.log = None;
    spec.arguments = arguments.to_vec();
    for (name, value) in variables {
        spec = spec.env(name, value);
    }
    let mut child = Child::start(spec)?;
    let status = child.wait().await.context("cargo was lost")?;
    Ok(status.code().unwrap_or(1))
}

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|place| place.join(program).is_file()))
}
