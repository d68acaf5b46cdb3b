//! Programs of ours that run on Node.js with packages of the npm registry.

use std::path::PathBuf;
use std::process::Command;

use latchkey_servers::{Package, ensure_installed, silent};

use crate::prepared::{complete, prepare};

/// Installs the packages of a folder of this crate where nothing is committed,
/// once for all runs, and answers where.
///
/// # Errors
/// npm is not there and cannot be had, or fails.
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
