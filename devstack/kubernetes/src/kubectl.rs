//! Runs `kubectl` as the administrator of the cluster.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::session::Session;

/// `kubectl` with the kubeconfig of a session.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// Returns the `kubectl` of a session.
    ///
    /// # Errors
    /// The programs of Kubernetes are not built.
    pub fn new(session: &Session) -> anyhow::Result<Self> {
        Ok(Self {
            program: session.programs.directory("kubernetes")?.join("kubectl"),
            kubeconfig: session.kubeconfig(),
        })
    }

    /// Runs a command and returns its standard output.
    ///
    /// # Errors
    /// The command fails; the error has its output.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run_with(arguments, "").await
    }

    /// Runs a command with this standard input and returns its standard output.
    ///
    /// # Errors
    /// The command fails; the error has its output.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A command that reads no input has closed it.
            let _ = pipe.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        anyhow::ensure!(
            output.status.success(),
            "`kubectl {}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a command with `-o json` and returns its output.
    ///
    /// # Errors
    /// The command fails, or its output is not JSON.
    pub async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = [arguments, &["-o", "json"]].concat();
        Ok(serde_json::from_str(&self.run(&arguments).await?)?)
    }

    /// Returns `true` if a command succeeds.
    pub async fn succeeds(&self, arguments: &[&str]) -> bool {
        self.run(arguments).await.is_ok()
    }
}
