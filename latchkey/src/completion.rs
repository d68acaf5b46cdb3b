//! `latchkey completion`: completes the commands in a shell.

use clap_complete::Shell;
use serde_json::json;

use crate::answer::Answer;
use crate::arguments::command;

/// Returns the script for a shell.
pub(crate) fn script(shell: Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), crate::program::NAME, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let json = json!({ "shell": shell.to_string(), "script": script });
    Answer::new(script, json)
}
