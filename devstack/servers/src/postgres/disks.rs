//! Full disks.

use super::Postgres;
use super::small_disk::{SmallDisk, Volume};
use crate::ServerError;

impl Postgres {
    /// Moves each volume to a file system of its own in memory, so that [`Postgres::fill`] works,
    /// and restarts the server. Few files of the write-ahead log are kept for later use, so that
    /// it needs space soon.
    ///
    /// # Errors
    /// This process may not mount a file system (the server then runs as before), or the server does
    /// not start again.
    pub async fn move_to_small_disks(&mut self) -> Result<(), ServerError> {
        self.stop();
        let mounted = self.mount_disks();
        self.set("min_wal_size=32MB");
        self.set("max_wal_size=256MB");
        self.resume().await?;
        mounted
    }

    fn mount_disks(&mut self) -> Result<(), ServerError> {
        for volume in Volume::ALL {
            let directory = match volume {
                Volume::Data => self.data.clone(),
                Volume::WriteAheadLog => self.data.join("pg_wal"),
            };
            self.disks
                .insert(volume, SmallDisk::mount_over(&directory)?);
        }
        Ok(())
    }

    /// Fills the disk of a volume: what is there can be written again, and nothing more.
    ///
    /// # Errors
    /// The disk cannot be filled.
    pub fn fill(&self, volume: Volume) -> Result<(), ServerError> {
        self.disks.get(&volume).map_or(Ok(()), SmallDisk::fill)
    }

    /// Ends [`Postgres::fill`]. A server that has ended must be started again.
    ///
    /// # Errors
    /// The space is not given back.
    pub fn free(&self, volume: Volume) -> Result<(), ServerError> {
        self.disks.get(&volume).map_or(Ok(()), SmallDisk::free)
    }
}
