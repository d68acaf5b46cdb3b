//! Folders of this crate that need packages of a registry: copied to where nothing
//! is committed, and filled once for all runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use latchkey_servers::target_directory;

/// Copies `folder` and has `install` fetch what its file `lock` names, unless that
/// was fetched before; answers where.
pub(crate) fn prepare(
    folder: &str,
    lock: &str,
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
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
    // What is installed: complete only after the installer has ended well.
    let wanted = std::fs::read(place.join(lock))?;
    let installed = place.join("installed-lock");
    if std::fs::read(&installed).is_ok_and(|is| is == wanted) {
        return Ok(place);
    }
    install(&place)?;
    std::fs::write(installed, wanted)?;
    Ok(place)
}

/// Runs a program of the installer to its end.
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
