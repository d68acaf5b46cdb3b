//! `cargo dev bench`: builds the benchmarks and what they measure as it is
//! released, and runs them.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, Progress, target_directory};

use crate::build::{cargo, workspace};

/// Runs the benchmarks; `arguments` go to them.
///
/// # Errors
/// Cargo or the benchmarks cannot be run.
pub async fn run(arguments: &[OsString], progress: &Progress) -> anyhow::Result<i32> {
    progress(
        "building refresh-svc and the benchmarks as they are released: minutes, the first time",
    );
    let build = [
        "build",
        "--release",
        "-p",
        "refresh-svc",
        "-p",
        "latchkey-bench",
    ];
    let code = cargo(&build.map(OsString::from), &[]).await?;
    if code != 0 {
        return Ok(code);
    }
    let program = target_directory().join("release/latchkey-bench");
    let mut spec = ChildSpec::new("bench", program, &workspace(), Path::new(""));
    spec.log = None;
    spec.arguments = arguments.to_vec();
    let mut child = Child::start(spec)?;
    let status = child.wait().await.context("the benchmarks were lost")?;
    Ok(status.code().unwrap_or(1))
}
