//! Folders that need packages of npm, PyPI or Go: copied below the target directory, where the
//! packages are installed once for all runs, at the versions and hashes of the folder's lock file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Package, Progress, ServerError, ensure_installed, target_directory};

/// Folders that a person who works in the folder itself creates there.
const GENERATED: [&str; 5] = [
    "__pycache__",
    "dist",
    "environment",
    "node_modules",
    "stubs",
];

/// Installs the npm packages of a folder with a `package-lock.json`, and returns the place.
///
/// # Errors
/// npm cannot be installed, or fails.
pub fn install_npm(folder: &Path, progress: &Progress) -> Result<PathBuf, ServerError> {
    ensure_installed(&[Package::Node], progress)?;
    prepare(folder, "package-lock.json", progress, |place| {
        complete(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
                .current_dir(place),
        )
    })
}

/// Installs the Python packages of a folder with a `requirements.txt` into a virtual environment,
/// and returns the place.
///
/// # Errors
/// Python cannot be installed, or pip fails.
pub fn install_python(folder: &Path, progress: &Progress) -> Result<PathBuf, ServerError> {
    ensure_installed(&[Package::Python], progress)?;
    prepare(folder, "requirements.txt", progress, |place| {
        complete(
            Command::new("python3")
                .args(["-m", "venv", "--clear", "environment"])
                .current_dir(place),
        )?;
        complete(
            Command::new(python_program(place, "python"))
                .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
                .args(["--disable-pip-version-check", "--no-deps"])
                .args(["--requirement", "requirements.txt"])
                .current_dir(place),
        )
    })
}

/// Downloads the Go modules of a folder with a `go.sum`, and returns the place. Go must be
/// installed.
///
/// # Errors
/// Go is missing, or fails.
pub fn install_go(folder: &Path, progress: &Progress) -> Result<PathBuf, ServerError> {
    prepare(folder, "go.sum", progress, |place| {
        complete(
            Command::new("go")
                .args(["mod", "download"])
                .env("GOTOOLCHAIN", "local")
                .current_dir(place),
        )
    })
}

/// A program of the virtual environment: `python`, or one that a package brings.
pub fn python_program(place: &Path, name: &str) -> PathBuf {
    place.join("environment/bin").join(name)
}

/// Copies `folder` and calls `install` unless the packages of its file `lock` are installed.
/// Returns the place.
fn prepare(
    folder: &Path,
    lock: &str,
    progress: &Progress,
    install: impl FnOnce(&Path) -> Result<(), ServerError>,
) -> Result<PathBuf, ServerError> {
    let place = target_directory().join("tools").join(place_name(folder));
    fs::create_dir_all(&place).map_err(ServerError::file(&place))?;
    // The programs run in other directories.
    let place = place.canonicalize().map_err(ServerError::file(&place))?;
    // A second run at the same time waits until the first has installed everything.
    let lock_path = place.join("gate");
    let lock_file = File::create(&lock_path).map_err(ServerError::file(&lock_path))?;
    lock_file.lock().map_err(ServerError::file(&lock_path))?;
    copy_files(folder, &place).map_err(ServerError::file(folder))?;
    // A copy of the lock file, written after a successful installation.
    let lock = place.join(lock);
    let wanted = fs::read(&lock).map_err(ServerError::file(&lock))?;
    let installed = place.join("installed-lock");
    if fs::read(&installed).is_ok_and(|is| is == wanted) {
        return Ok(place);
    }
    progress(&format!(
        "installing {} for {}",
        lock.display(),
        folder.display()
    ));
    install(&place)?;
    fs::write(&installed, wanted).map_err(ServerError::file(&installed))?;
    Ok(place)
}

/// The name of the folder. That of an example is a language, of which there may be other places.
fn place_name(folder: &Path) -> OsString {
    let name = folder.file_name().unwrap_or_default();
    let mut place = OsString::new();
    if folder.parent().and_then(Path::file_name) == Some(OsStr::new("examples")) {
        place.push("example-");
    }
    place.push(name);
    place
}

/// Copies the files of a folder, and those of its folders that are not [generated](GENERATED).
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let copy = to.join(&name);
        if kind.is_file() {
            replace_if_different(&entry.path(), &copy)?;
        } else if kind.is_dir() && !GENERATED.iter().any(|generated| name == *generated) {
            fs::create_dir_all(&copy)?;
            copy_files(&entry.path(), &copy)?;
        }
    }
    Ok(())
}

/// Copies a file unless the copy is the same. A program that another test has just started may be
/// reading the copy, and would find it empty for a moment.
fn replace_if_different(source: &Path, copy: &Path) -> std::io::Result<()> {
    let wanted = fs::read(source)?;
    if fs::read(copy).is_ok_and(|is| is == wanted) {
        return Ok(());
    }
    fs::write(copy, wanted)
}

/// Runs a program and waits for its successful end.
fn complete(command: &mut Command) -> Result<(), ServerError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(source) => return Err(ServerError::Spawn { program, source }),
    };
    if output.status.success() {
        return Ok(());
    }
    Err(ServerError::Failed {
        program,
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
