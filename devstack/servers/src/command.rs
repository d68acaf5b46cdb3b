//! Helper programs that end.

use std::process::Command;

use crate::ServerError;

/// Runs a program and waits until it ends.
pub(crate) fn run_to_end(program: &str, command: &mut Command) -> Result<(), ServerError> {
    let output = command.output().map_err(|source| ServerError::Spawn {
        program: program.to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(ServerError::Failed {
        program: program.to_owned(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
