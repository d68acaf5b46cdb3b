//! Folders of this crate that need packages: copied below the target directory, where the
//! packages are installed once for all runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use latchkey_servers::target_directory;

/// Copies `folder` and calls `install` unless the packages of its file `lock` are
/// installed. Returns the place.
pub(crate) fn prepare(
    folder: &str,
    lock: &str,
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let place = target_directory().join(folder);
    std::fs::create_dir_all(&place)?;
    // A second run at the same time waits until the first has installed everything.
    let lock_file = std::fs::File::create(place.join("gate"))?;
    lock_file.lock()?;
    for entry in std::fs::read_dir(&source)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), place.join(entry.file_name()))?;
        }
    }
    // A copy of the lock file, written after a successful installation.
    let wanted = std::fs::read(place.join(lock))?;
    let installed = place.join("installed-lock");
    if std::fs::read(&installed).is_ok_and(|is| is == wanted) {
        return Ok(place);
    }
    install(&place)?;
    std::fs::write(installed, wanted)?;
    Ok(place)
}

/// Runs a program and waits for its successful end.
pub(crate) fn complete(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
