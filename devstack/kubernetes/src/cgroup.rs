//! A parent of its own for the pods' cgroups, so that the kubelets of two clusters do not end each
//! other's pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::digest::sha256;

const ROOT: &str = "/sys/fs/cgroup";
/// The pods together compete for the processors with the servers and with the load, each process of
/// which has a weight of its own: they weigh as much as this number of processes.
const WEIGHT: u32 = 16;
/// Ended processes leave their cgroups after a moment.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The cgroup of one run: in each hierarchy of cgroup v1, or in the single one of v2. It is removed
/// when this value is dropped.
#[derive(Debug)]
pub struct Cgroup(String);

impl Cgroup {
    /// Creates the cgroup of the run with this directory, and removes those of crashed runs.
    ///
    /// # Errors
    /// This process may not create cgroups.
    pub fn create(run: &Path) -> anyhow::Result<Self> {
        let runs = run.parent().unwrap_or(run);
        // Another clone of the repository has other runs.
        let clone = sha256(runs.as_os_str().as_encoded_bytes());
        let prefix = format!("latchkey-{}-", clone.get(..8).unwrap_or_default());
        for hierarchy in hierarchies() {
            let entries = fs::read_dir(&hierarchy).into_iter().flatten().flatten();
            for entry in entries {
                let name = entry.file_name();
                let run = name.to_str().and_then(|name| name.strip_prefix(&prefix));
                if run.is_some_and(|run| !runs.join(run).exists()) {
                    let _ = remove(&entry.path());
                }
            }
        }
        let run = run.file_name().unwrap_or_default().to_string_lossy();
        let cgroup = Self(format!("{prefix}{run}"));
        for hierarchy in hierarchies() {
            // In v2 a controller is available to the pods if each parent passes it on.
            let control = hierarchy.join("cgroup.subtree_control");
            if control.exists() {
                for controller in ["+cpu", "+cpuset", "+io", "+memory", "+pids"] {
                    let _ = fs::write(&control, controller);
                }
            }
            let path = hierarchy.join(&cgroup.0);
            fs::create_dir(&path)
                .with_context(|| format!("cannot create the cgroup {}", path.display()))?;
            // The unit of a process is 1024 in v1 and 100 in v2.
            for (file, unit) in [("cpu.shares", 1024), ("cpu.weight", 100)] {
                let weight = path.join(file);
                if weight.exists() {
                    fs::write(&weight, (WEIGHT * unit).to_string())
                        .with_context(|| format!("cannot write {}", weight.display()))?;
                }
            }
        }
        Ok(cgroup)
    }

    /// Returns the path of the cgroup in each hierarchy.
    pub fn path(&self) -> String {
        format!("/{}", self.0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let begun = Instant::now();
        for hierarchy in hierarchies() {
            let path = hierarchy.join(&self.0);
            while path.exists() && remove(&path).is_err() && begun.elapsed() < TIMEOUT {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Returns the roots of the hierarchies.
fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from(ROOT);
    if root.join("cgroup.controllers").exists() {
        return vec![root];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        // Not the symbolic links that name one of several controllers.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes a cgroup and those below it.
fn remove(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
