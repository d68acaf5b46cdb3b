//! Programs of this crate that need Python and packages from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey_servers::{Package, ensure_installed, silent};

use crate::prepared::{complete, prepare};

/// Installs the packages of a folder of this crate into a virtual environment below the
/// target directory, once for all runs, and returns the place.
///
/// # Errors
/// Python cannot be installed, or pip fails.
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

/// The Python interpreter of the virtual environment.
pub fn interpreter(place: &Path) -> PathBuf {
    place.join("environment/bin/python")
}
