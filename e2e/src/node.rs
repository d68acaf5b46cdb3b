//! Programs of ours that run on Node.js with packages of the npm registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use latchkey_servers::{Need, ensure_installed, silent, target_directory};

/// Installs the packages of a folder of this crate where nothing is committed,
/// once for all runs, and answers where.
///
/// # Errors
/// npm is not there and cannot be had, or fails.
pub fn install(folder: &str) -> anyhow::Result<PathBuf> {
    ensure_installed(&[Need::Node], &silent())?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let place = target_directory().join(folder);
    std::fs::create_dir_all(&place)?;
    // Two runs at once: the second waits and then finds everything there.
    let gate = std::fs::File::create(place.join("gate"))?;
    gate.lock()?;
    for entry in std::fs::read_dir(&source)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), place.join(entry.file_name()))?;
        }
    }
    // The lock of what is installed: complete only after npm has ended well.
    let wanted = std::fs::read(place.join("package-lock.json"))?;
    let installed = place.join("installed-lock.json");
    if std::fs::read(&installed).is_ok_and(|is| is == wanted) {
        return Ok(place);
    }
    let output = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&place)
        .output()
        .context("cannot run npm")?;
    anyhow::ensure!(
        output.status.success(),
        "npm ci: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(installed, wanted)?;
    Ok(place)
}
