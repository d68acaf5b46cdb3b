//! Programs of ours that run on Python with packages of PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey_servers::{Package, ensure_installed, silent};

use crate::prepared::{complete, prepare};

/// Installs the packages of a folder of this crate into an environment of its
/// own where nothing is committed, once for all runs, and answers where.
///
/// # Errors
/// Python is not there and cannot be had, or pip fails.
pub fn install(folder: &str) -> anyhow::Result<PathBuf> {
    ensure_installed(&[Package::Python], &silent())?;
    prepare(folder, "requirements.txt", |place| {
        complete(
            Command::new("python3")
                .args(["-m", "venv", "--clear", "environment"])
                .current_dir(place),
        )?;
        complete(
            Command::new(interpreter(place))
                .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
                .args(["--no-deps", "--requirement", "requirements.txt"])
                .current_dir(place),
        )
    })
}

/// Python with the packages of that folder.
pub fn interpreter(place: &Path) -> PathBuf {
    place.join("environment/bin/python")
}
