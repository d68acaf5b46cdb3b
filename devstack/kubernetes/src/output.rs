//! The output of a program.

use anyhow::Context as _;
use tokio::process::Command;

/// Runs a program to its end and returns its standard output.
///
/// # Errors
/// The program cannot be run or fails; the error has the command and everything that it printed.
pub async fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let line = format!("`{:?}`", command.as_std());
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {line}"))?;
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    anyhow::ensure!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&printed).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
