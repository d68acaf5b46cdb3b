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
    // `cargo test` and no other runner: the end-to-end tests of a file share one
    // stack, and so one process.
    let mut all: Vec<OsString> = vec!["test".into()];
    let narrowed = arguments
        .iter()
        .any(|argument| argument == "-p" || argument == "--package");
    if !narrowed {
        all.push("--workspace".into());
    }
    all.extend_from_slice(arguments);
    progress("testing");
    cargo(&all, &servers.test_variables()).await
}
