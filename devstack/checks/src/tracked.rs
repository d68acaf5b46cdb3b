//! The files and crates of the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// A file that Git tracks.
pub struct Tracked {
    /// Its path, relative to the root of the repository.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// Every text file that Git tracks and whose name ends in one of the extensions.
///
/// # Errors
/// If Git cannot list the files.
pub fn tracked(extensions: &[&str]) -> anyhow::Result<Vec<Tracked>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files failed");
    let list = String::from_utf8(output.stdout)?;
    let wanted = list.split('\0').filter(|path| {
        Path::new(path)
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| extensions.contains(&extension))
    });
    // A file that was deleted and not yet committed is listed too, and skipped.
    Ok(wanted
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(path)).ok()?;
            Some(Tracked {
                path: path.to_owned(),
                text,
            })
        })
        .collect())
}

/// The directories of the workspace's crates, relative to the root.
///
/// # Errors
/// If the workspace's manifest cannot be read.
pub fn crates() -> anyhow::Result<Vec<String>> {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let members = manifest["workspace"]["members"]
        .as_array()
        .context("the workspace has no list of members")?;
    Ok(members
        .iter()
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect())
}
