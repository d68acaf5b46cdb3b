//! Blocks of ports, each reserved by one process.
//!
//! Several processes start servers at the same time: the test programs of one run, and several
//! runs. A port that one process has found free is not bound yet, so another process would find
//! it free too. A process therefore reserves a block of ports with a file lock, which the system
//! releases when the process ends.

use std::fs::{self, File};
use std::ops::Range;
use std::path::PathBuf;

use uuid::Uuid;

use crate::ServerError;

/// Ports below the range that Linux uses for outgoing connections, so that a server finds its
/// port free after a restart.
const FIRST: u16 = 15_000;
/// Number of blocks.
const BLOCKS: u16 = 340;
/// Ports of a block.
const SIZE: u16 = 50;

/// A block of ports that no other process reserves while this value exists.
#[derive(Debug)]
pub(crate) struct PortBlock {
    number: u16,
    _lock: File,
}

impl PortBlock {
    /// Reserves a block.
    ///
    /// # Errors
    /// All blocks are reserved, or the lock files cannot be created.
    pub(crate) fn reserve() -> Result<Self, ServerError> {
        let user = nix::unistd::getuid();
        let directory = std::env::temp_dir().join(format!("latchkey-ports-{user}"));
        fs::create_dir_all(&directory).map_err(ServerError::file(&directory))?;
        // The search begins anywhere: the ports of a process that has just ended may be in use
        // for another moment.
        let (_, random, _, _) = Uuid::new_v4().as_fields();
        for offset in 0..BLOCKS {
            let number = (random % BLOCKS + offset) % BLOCKS;
            let path = directory.join(number.to_string());
            let lock = open(path)?;
            if lock.try_lock().is_ok() {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        Err(ServerError::File {
            path: directory,
            source: std::io::Error::other("every block of ports is reserved"),
        })
    }

    /// The ports of this block.
    pub(crate) fn ports(&self) -> Range<u16> {
        let first = FIRST + self.number * SIZE;
        first..first + SIZE
    }
}

fn open(path: PathBuf) -> Result<File, ServerError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| ServerError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_in_two_reserved_blocks() {
        let [one, other] = [(), ()].map(|()| PortBlock::reserve().unwrap());
        assert!(one.ports().all(|port| !other.ports().contains(&port)));
        assert!(u32::from(FIRST) + u32::from(BLOCKS) * u32::from(SIZE) <= 32_768);
    }
}
