//! Cargo as a child process, and the programs that it has built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec};

/// Returns the root directory of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// Waits until cargo ends and returns its exit code.
///
/// # Errors
/// The state of the process cannot be read.
pub async fn exit_code(mut cargo: Child) -> anyhow::Result<i32> {
    let status = cargo
        .wait()
        .await
        .context("cannot read cargo's exit status")?;
    Ok(status.code().unwrap_or(1))
}

/// Describes a run of cargo in the workspace with its output on the terminal.
pub fn cargo_spec(arguments: &[OsString], variables: &[(&str, String)]) -> ChildSpec {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut spec = ChildSpec::new("cargo", program, &workspace(), Path::new(""));
    spec.log = None;
    spec.arguments = arguments.to_vec();
    for (name, value) in variables {
        spec = spec.env(name, value);
    }
    spec
}

/// Returns the path of the workspace's binary `name`, which was built with the same profile
/// as this program.
///
/// # Errors
/// The binary has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the path of this program")?;
    let mut directory = own.parent().context("this program has no directory")?;
    // Test programs are one level deeper.
    if directory.ends_with("deps") {
        directory = directory
            .parent()
            .context("this program has no directory")?;
    }
    let path = directory.join(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not built: run `cargo dev test`, or `cargo build --workspace --bins` before `cargo test`",
        path.display()
    );
    Ok(path)
}
