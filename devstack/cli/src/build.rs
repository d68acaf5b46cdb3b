//! Building the workspace's binaries, and finding them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec};

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// Builds every binary of the workspace, with cargo's own progress. Answers
/// cargo's exit code.
///
/// # Errors
/// Cargo cannot be run.
pub async fn binaries() -> anyhow::Result<i32> {
    cargo(
        &["build".into(), "--workspace".into(), "--bins".into()],
        &[],
    )
    .await
}

/// Runs cargo with its output on the terminal and answers its exit code.
///
/// # Errors
/// Cargo cannot be run.
pub async fn cargo(arguments: &[OsString], variables: &[(&str, String)]) -> anyhow::Result<i32> {
    exit_code(Child::start(cargo_spec(arguments, variables))?).await
}

/// Waits until cargo ends and answers its exit code.
///
/// # Errors
/// Cargo was lost.
pub async fn exit_code(mut cargo: Child) -> anyhow::Result<i32> {
    let status = cargo.wait().await.context("cargo was lost")?;
    Ok(status.code().unwrap_or(1))
}

/// Cargo as a child with its output on the terminal.
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

/// The binary of that name in the directory that this program was built into.
///
/// # Errors
/// It has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut place = me.parent().context("this program lies nowhere")?;
    // Tests lie one level deeper.
    if place.ends_with("deps") {
        place = place.parent().context("this program lies nowhere")?;
    }
    let path = place.join(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not built: run `cargo dev test`, or `cargo build --workspace --bins` before `cargo test`",
        path.display()
    );
    Ok(path)
}
