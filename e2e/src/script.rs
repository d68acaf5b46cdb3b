//! Runs the scripts of `e2e/browser` with Node.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use devstack::Stack;
use devstack::build::binary;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// Time limit of all steps of a script, on a busy machine.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// Node with a script in `directory`. `STEP=<part of a name>` selects steps.
pub fn node(directory: &Path, script: &str, stack: &Stack) -> Command {
    let mut command = Command::new("node");
    command
        .arg(script)
        .args(std::env::var("STEP").ok())
        .current_dir(directory)
        .env("PUBLIC_URL", stack.public_url())
        .env("DEMO_URL", stack.demo().base_url());
    command
}

/// Runs a script to its end and prints its lines. A line that begins with `@` is a command:
/// `execute` runs it, and the script gets `ok` and the result, or the error.
///
/// # Errors
/// A step failed, or the script took too long.
pub async fn run(
    mut command: Command,
    mut execute: impl AsyncFnMut(&str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run node")?;
    let mut answers = child.stdin.take().context("no standard input")?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let steps = async {
        while let Some(line) = lines.next_line().await? {
            eprintln!("{line}");
            let Some(command) = line.strip_prefix('@') else {
                continue;
            };
            let answer = match execute(command).await {
                Ok(answer) => format!("ok {}", answer.trim()),
                Err(error) => format!("{error:#}"),
            };
            let answer = answer.replace('\n', " ") + "\n";
            answers.write_all(answer.as_bytes()).await?;
        }
        child.wait().await.context("cannot wait for node")
    };
    let status = tokio::time::timeout(TIME_LIMIT, steps)
        .await
        .context("the steps took too long")??;
    anyhow::ensure!(status.success(), "a step failed");
    Ok(())
}

/// Runs `latchkey workspace` as an operator and returns its output.
///
/// # Errors
/// The command fails.
pub async fn workspace(stack: &Stack, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary("latchkey")?)
        .arg("workspace")
        .args(arguments)
        .env("DATABASE_URL", stack.database().operator_url())
        .env("PUBLIC_URL", stack.public_url())
        .output()
        .await?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
