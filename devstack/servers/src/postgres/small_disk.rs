//! A file system in memory whose space can be taken away: a full disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};

use crate::ServerError;
use crate::command::run_to_end;
use crate::mounts::unmount_below;

/// Size while it is not full, in bytes. Memory is used only for what is written.
const SIZE: u64 = 8 * 1024 * 1024 * 1024;
/// Space that is left when it is filled, in bytes.
const LEFT: u64 = 64 * 1024;
/// How often the filling is tried: a file may grow after the look, and a size below what is used is
/// refused.
const ATTEMPTS: usize = 10;

/// What has a disk of its own after [`crate::Postgres::move_to_small_disks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volume {
    /// Tables and indexes: a statement that needs space fails.
    Data,
    /// The write-ahead log: PostgreSQL ends when it cannot write it.
    WriteAheadLog,
}

impl Volume {
    /// Every volume, the outer directory first.
    pub const ALL: [Self; 2] = [Self::Data, Self::WriteAheadLog];
}

/// A file system of its own. It is unmounted when this value is dropped.
#[derive(Debug)]
pub(super) struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Replaces a directory by a file system with the same files. Nobody may use them meanwhile.
    pub(super) fn mount_over(directory: &Path) -> Result<Self, ServerError> {
        let failed = || ServerError::file(directory);
        let owner = fs::metadata(directory).map_err(failed())?;
        let before = directory.with_extension("before");
        fs::rename(directory, &before).map_err(failed())?;
        fs::create_dir(directory).map_err(failed())?;
        let options = format!(
            "size={SIZE},mode=0700,uid={},gid={}",
            owner.uid(),
            owner.gid()
        );
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]);
        if let Err(error) = run_to_end("mount", mount.arg(directory).stdin(Stdio::null())) {
            fs::remove_dir(directory).map_err(failed())?;
            fs::rename(&before, directory).map_err(failed())?;
            return Err(error);
        }
        let disk = Self {
            directory: directory.to_owned(),
        };
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg(before.join("."));
        run_to_end("cp", copy.arg(directory).stdin(Stdio::null()))?;
        fs::remove_dir_all(&before).map_err(ServerError::file(&before))?;
        Ok(disk)
    }

    /// Leaves no space for what is not there yet.
    pub(super) fn fill(&self) -> Result<(), ServerError> {
        let mut filled = self.resize(self.used()? + LEFT);
        for _ in 1..ATTEMPTS {
            if filled.is_ok() {
                break;
            }
            filled = self.resize(self.used()? + LEFT);
        }
        filled
    }

    /// Gives the space back.
    pub(super) fn free(&self) -> Result<(), ServerError> {
        self.resize(SIZE)
    }

    /// Used space, in bytes.
    fn used(&self) -> Result<u64, ServerError> {
        let status = statvfs(&self.directory)
            .map_err(|error| ServerError::file(&self.directory)(error.into()))?;
        let blocks = status.blocks().saturating_sub(status.blocks_free());
        Ok(blocks.saturating_mul(status.fragment_size()))
    }

    fn resize(&self, size: u64) -> Result<(), ServerError> {
        let mut mount = Command::new("mount");
        mount.arg("-o").arg(format!("remount,size={size}"));
        run_to_end("mount", mount.arg(&self.directory).stdin(Stdio::null()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount_below(&self.directory);
    }
}
