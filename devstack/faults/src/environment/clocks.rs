//! Clocks of the services that can be set, by libfaketime. Timers, which use another clock, are not
//! changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use devstack::Stack;
use latchkey_servers::{Package, Progress, clock_library, ensure_installed};

use crate::part::Target;

/// The clocks. In a run without them, none can be set.
#[derive(Debug, Default)]
pub struct Clocks {
    /// The directory of the files with the offsets.
    directory: Option<PathBuf>,
}

impl Clocks {
    /// Gives each service of a stack a clock of its own from its next start on.
    pub(super) fn insert(stack: &mut Stack, progress: &Progress) -> anyhow::Result<Self> {
        ensure_installed(&[Package::Clock], progress)?;
        let library = clock_library().context("libfaketime is not installed")?;
        let directory = stack.directory();
        let clocks = Self {
            directory: Some(directory.clone()),
        };
        for target in Target::ALL {
            clocks.set(target, 0)?;
            let service = stack.service(target.id())?;
            service.set("LD_PRELOAD", &library);
            service.set("FAKETIME_TIMESTAMP_FILE", file(&directory, target));
            service.set("FAKETIME_NO_CACHE", "1");
            service.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        Ok(clocks)
    }

    /// Sets how far the clock of a service is ahead, in seconds.
    ///
    /// # Errors
    /// The run has no clocks that can be set, or the file cannot be written.
    pub fn set(&self, target: Target, ahead: i64) -> anyhow::Result<()> {
        let directory = self.directory.as_ref().context("no clock can be set")?;
        let path = file(directory, target);
        // The service reads the file all the time, and must not find half of it.
        let new = path.with_extension("new");
        fs::write(&new, format!("{ahead:+}s\n")).with_context(|| new.display().to_string())?;
        fs::rename(&new, &path).with_context(|| path.display().to_string())
    }
}

fn file(directory: &Path, target: Target) -> PathBuf {
    directory.join(format!("clock-of-{}", target.name()))
}
