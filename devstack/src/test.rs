//! `cargo dev test`: every test of the workspace on servers of its own.

use std::ffi::OsString;

use latchkey_servers::Progress;

use crate::build::{binaries, cargo};
use crate::servers::Servers;

/// Builds and tests the workspace; `arguments` go to `cargo test`.
///
/// # Errors
/// The servers do not start, or cargo cannot be run.
pub async fn run(arguments: &[OsString], progress: &Progress) -> anyhow::Result<i32> {
    // The binaries first: end-to-end tests start them.
    progress("building the workspace");
    let code = binaries().await?;
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
    cargo(
        &["test".into(), "--workspace".into(), "--doc".into()],
        &variables,
    )
    .await
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|place| place.join(program).is_file()))
}
