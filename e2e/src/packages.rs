//! Folders of this crate, and examples, that need packages of npm, PyPI or Go.

use std::path::{Path, PathBuf};

use latchkey_servers::{ServerError, silent};

/// Installs the npm packages of a folder, and returns the place.
///
/// # Errors
/// npm cannot be installed, or fails.
pub fn install_npm(folder: &str) -> Result<PathBuf, ServerError> {
    latchkey_servers::install_npm(&path(folder), &silent())
}

/// Installs the Python packages of a folder into a virtual environment, and returns the place.
///
/// # Errors
/// Python cannot be installed, or pip fails.
pub fn install_python(folder: &str) -> Result<PathBuf, ServerError> {
    latchkey_servers::install_python(&path(folder), &silent())
}

/// Downloads the Go modules of a folder, and returns the place.
///
/// # Errors
/// Go is missing, or fails.
pub fn install_go(folder: &str) -> Result<PathBuf, ServerError> {
    latchkey_servers::install_go(&path(folder), &silent())
}

/// The Python interpreter of the virtual environment.
pub fn python(place: &Path) -> PathBuf {
    latchkey_servers::python_program(place, "python")
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}
