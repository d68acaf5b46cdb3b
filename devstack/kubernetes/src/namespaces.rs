//! Starts this program again in a network namespace, a mount namespace and a process namespace of
//! its own. What it starts there ends with it, and no packet leaves.

use std::path::Path;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec};

use crate::addresses::NODE_IP;
use crate::session::{Session, workspace};

const SCRIPT: &str = include_str!("namespaces.sh");
/// The script hides what is below these directories.
const HIDDEN: [&str; 3] = ["/run", "/var/lib", "/var/log"];

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

/// Checks that the namespaces do not hide what is needed in them.
///
/// # Errors
/// The path is below one of [`HIDDEN`]; the error ends with what helps.
pub fn ensure_visible(needed: &Path, remedy: &str) -> anyhow::Result<()> {
    // A symbolic link may lead there.
    let real = needed.canonicalize();
    let real = real.as_deref().unwrap_or(needed);
    let hidden = HIDDEN.iter().find(|hidden| real.starts_with(hidden));
    if let Some(hidden) = hidden {
        let needed = needed.display();
        anyhow::bail!("{needed} is below {hidden}, which a cluster hides: {remedy}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_the_cluster_hides_is_an_error_that_says_what_helps() {
        let check = |path: &str| ensure_visible(Path::new(path), "set GOMODCACHE elsewhere");
        check("/var/library/go").unwrap();
        let error = check("/var/lib/go/no-such-directory").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/var/lib/go/no-such-directory is below /var/lib, which a cluster hides: set GOMODCACHE \
             elsewhere"
        );
    }
}
