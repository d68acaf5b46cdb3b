//! Starts this program again in a network namespace, a mount namespace and a process namespace of
//! its own. What it starts there ends with it, and no packet leaves.

use std::path::Path;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec};

use crate::addresses::NODE_IP;
use crate::hidden::ensure_visible;
use crate::session::{Session, workspace};

const SCRIPT: &str = include_str!("namespaces.sh");

/// Starts the program with the session.
///
/// # Errors
/// A needed directory would be hidden, or the program cannot be started.
pub fn enter(session: &Session) -> anyhow::Result<Child> {
    let directory = &session.directory;
    for needed in [directory.as_path(), &workspace()] {
        ensure_visible(needed, "use a clone or CARGO_TARGET_DIR elsewhere")?;
    }
    let script = directory.join("namespaces.sh");
    std::fs::write(&script, SCRIPT)?;
    let own = std::env::current_exe().context("cannot find the path of this program")?;
    let mut spec = ChildSpec::new("unshare", "unshare", directory, Path::new(""));
    // The output is that of this process.
    spec.log = None;
    let spec = spec
        .env("NODE_IP", NODE_IP.to_string())
        .env("PATH", session.programs.path()?)
        .arg("--net")
        .arg("--mount")
        .arg("--pid")
        .arg("--fork")
        .arg("--kill-child")
        .arg("--mount-proc")
        .arg("sh")
        .arg(script)
        .arg(directory)
        .arg(own)
        .arg("inside")
        .arg(serde_json::to_string(session)?);
    Ok(Child::start(spec)?)
}
