//! Programs of this crate that need Node.js and packages from npm.

use std::path::PathBuf;
use std::process::Command;

use latchkey_servers::{Package, ensure_installed, silent};

use crate::prepared::{complete, prepare};

/// Installs the packages of a folder of this crate below the target directory, once for
/// all runs, and returns the place.
///
/// # Errors
/// npm cannot be installed, or fails.
pub fn install(folder: &str) -> anyhow::Result<PathBuf> {
    ensure_installed(&[Package::Node], &silent())?;
    prepare(folder, "package-lock.json", |place| {
        complete(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
                .current_dir(place),
        )
    })
}
