//! A directory for one run, and the removal of the directories that crashed runs left.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use crate::ServerError;
use crate::mounts::unmount_below;

/// Name of a link to a directory that is outside the run's and is removed with it.
pub(crate) const EXTERNAL_DIRECTORY: &str = "elsewhere";

/// Returns cargo's target directory of this workspace.
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || {
            let package = Path::new(env!("CARGO_MANIFEST_DIR"));
            package.ancestors().nth(2).unwrap_or(package).join("target")
        },
        PathBuf::from,
    )
}

/// A directory that belongs to one run and is removed with it.
///
/// The run holds a lock on `<directory>.lock`. The system releases a lock when its process
/// ends, so a lock that no process holds marks a crashed run.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    lock_path: PathBuf,
    keep: AtomicBool,
    _lock: File,
}

impl RunDirectory {
    /// Creates a directory below `target/<group>` and removes those of crashed runs there.
    ///
    /// # Errors
    /// A file or directory cannot be created.
    pub fn create(group: &str) -> Result<Self, ServerError> {
        let parent = target_directory().join(group);
        fs::create_dir_all(&parent).map_err(ServerError::file(&parent))?;
        let parent = parent.canonicalize().map_err(ServerError::file(&parent))?;
        // Only one process at a time removes stale runs and starts its own.
        let start_lock = open_lock(&parent.join("gate"))?;
        start_lock.lock().map_err(ServerError::file(&parent))?;
        remove_stale(&parent);
        let name = Uuid::new_v4().simple().to_string();
        let name = name.get(..8).unwrap_or(&name);
        let lock_path = parent.join(format!("{name}.lock"));
        let lock = open_lock(&lock_path)?;
        lock.lock().map_err(ServerError::file(&lock_path))?;
        let path = parent.join(name);
        fs::create_dir(&path).map_err(ServerError::file(&path))?;
        // PostgreSQL's user must be able to traverse the directory.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711))
            .map_err(ServerError::file(&path))?;
        Ok(Self {
            path,
            lock_path,
            keep: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the files after the run so that somebody can read them. The next run removes them.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if the run with the directory `path` is still running.
    pub fn is_alive(path: &Path) -> bool {
        let lock = path.with_extension("lock");
        File::open(lock).is_ok_and(|file| file.try_lock_shared().is_err())
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::Relaxed) {
            remove(&self.path);
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Removes the directory of a run, and the one outside of it, which a killed child of the run may
/// have left.
fn remove(directory: &Path) {
    if let Ok(external) = fs::read_link(directory.join(EXTERNAL_DIRECTORY)) {
        unmount_below(&external);
        let _ = fs::remove_dir_all(external);
    }
    unmount_below(directory);
    let _ = fs::remove_dir_all(directory);
}

fn open_lock(path: &Path) -> Result<File, ServerError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(ServerError::file(path))
}

/// Removes the directories whose lock no process holds.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for lock_path in entries.flatten().map(|entry| entry.path()) {
        if lock_path.extension().is_none_or(|end| end != "lock") {
            continue;
        }
        let stale = File::options()
            .write(true)
            .open(&lock_path)
            .is_ok_and(|file| file.try_lock().is_ok());
        if stale {
            remove(&lock_path.with_extension(""));
            let _ = fs::remove_file(&lock_path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_crashed_run_is_removed_and_that_of_a_running_one_is_not() {
        let group = format!("servers-test/{}", Uuid::new_v4());
        let crashed = RunDirectory::create(&group).unwrap();
        crashed.keep();
        let left = crashed.path().to_owned();
        let living = RunDirectory::create(&group).unwrap();
        assert!(left.exists());
        assert!(RunDirectory::is_alive(&left));
        drop(crashed);
        // A child that another test has just forked holds the lock until it executes its
        // program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while RunDirectory::is_alive(&left) && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!RunDirectory::is_alive(&left));
        let _next = RunDirectory::create(&group).unwrap();
        assert!(!left.exists());
        assert!(living.path().exists());
    }
}
