//! Folders of this crate that need packages of npm or PyPI: copied below the target
//! directory, where the packages are installed once for all runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use latchkey_servers::{Package, ensure_installed, silent, target_directory};

/// Installs the npm packages of a folder, and returns the place.
///
/// # Errors
/// npm cannot be installed, or fails.
pub fn install_npm(folder: &str) -> anyhow::Result<PathBuf> {
    ensure_installed(&[Package::Node], &silent())?;
    prepare(folder, "package-lock.json", |place| {
        complete(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
                .current_dir(place),
        )
    })
}

/// Installs the Python packages of a folder into a virtual environment, and returns the
/// place.
///
/// # Errors
/// Python cannot be installed, or pip fails.
pub fn install_python(folder: &str) -> anyhow::Result<PathBuf> {
    ensure_installed(&[Package::Python], &silent())?;
    prepare(folder, "requirements.txt", |place| {
        complete(
            Command::new("python3")
                .args(["-m", "venv", "--clear", "environment"])
                .current_dir(place),
        )?;
        complete(
            Command::new(python(place))
                .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
                .args(["--no-deps", "--requirement", "requirements.txt"])
                .current_dir(place),
        )
    })
}

/// The Python interpreter of the virtual environment.
pub fn python(place: &Path) -> PathBuf {
    place.join("environment/bin/python")
}

/// Copies a file unless the copy is the same. A program that another test has just started may be
/// reading the copy, and would find it empty for a moment.
fn replace_if_different(source: &Path, copy: &Path) -> std::io::Result<()> {
    let wanted = std::fs::read(source)?;
    if std::fs::read(copy).is_ok_and(|is| is == wanted) {
        return Ok(());
    }
    std::fs::write(copy, wanted)
}

/// Copies `folder` and calls `install` unless the packages of its file `lock` are
/// installed. Returns the place.
fn prepare(
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
            replace_if_different(&entry.path(), &place.join(entry.file_name()))?;
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
fn complete(command: &mut Command) -> anyhow::Result<()> {
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
