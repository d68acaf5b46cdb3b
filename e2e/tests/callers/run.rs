//! One run of a caller.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use devstack::{ServiceId, Stack};
use latchkey_e2e::EVENT_TIMEOUT;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::caller::{Caller, command};

/// How a caller authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The certificate of a caller that the policy allows.
    Allowed,
    /// The certificate of a caller that no policy allows.
    Stranger,
    /// The certificate of the allowed caller, and a service account's token in a file.
    Token(PathBuf),
}

/// A running caller, and what it has printed.
#[derive(Debug)]
pub struct Run {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    printed: Vec<String>,
}

impl Run {
    /// Starts the caller with the settings that its README describes.
    pub fn start(
        caller: &Caller,
        stack: &Stack,
        credentials: &Credentials,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        eprintln!("$ {} {}", caller.command, arguments.join(" "));
        let words: Vec<&str> = caller.command.split(' ').collect();
        let mut command = command(&words, &caller.directory);
        let pair = match credentials {
            Credentials::Stranger => stack.stranger(),
            Credentials::Allowed | Credentials::Token(_) => stack.client(),
        };
        let url = stack.grpc_url(ServiceId::Refresh(0))?;
        command
            .args(arguments)
            .env("LATCHKEY_TOKEN_ADDRESS", url.trim_start_matches("https://"))
            .env("LATCHKEY_TOKEN_CA", stack.authority())
            .env("LATCHKEY_TOKEN_CERT", &pair.certificate)
            .env("LATCHKEY_TOKEN_KEY", &pair.key)
            .env("AMQP_URL", stack.servers.rabbitmq.url())
            .env("NO_COLOR", "1")
            // gRPC connects even to this machine through a proxy.
            .env("no_proxy", "localhost,127.0.0.1");
        match credentials {
            Credentials::Token(file) => command.env("LATCHKEY_CALLER_TOKEN_FILE", file),
            _ => command.env_remove("LATCHKEY_CALLER_TOKEN_FILE"),
        };
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(caller.directory.join("errors.log"))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", caller.command))?;
        let output = child.stdout.take().context("no output")?;
        Ok(Self {
            child,
            output: BufReader::new(output).lines(),
            printed: Vec::new(),
        })
    }

    /// Waits for the next line that begins with `beginning`, and returns it.
    pub async fn wait_for(&mut self, beginning: &str) -> anyhow::Result<String> {
        let line = timeout(EVENT_TIMEOUT, async {
            while let Some(line) = self.next_line().await? {
                if line.starts_with(beginning) {
                    return Ok(line);
                }
            }
            anyhow::bail!("the caller ended")
        });
        line.await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the line did not come in time")))
            .with_context(|| format!("no line begins with {beginning}: {:?}", self.printed))
    }

    /// Waits for the end.
    pub async fn end(mut self) -> anyhow::Result<Ended> {
        let status = timeout(EVENT_TIMEOUT, async {
            while self.next_line().await?.is_some() {}
            self.child.wait().await
        });
        let status = status.await.context("the caller does not end")??;
        Ok(Ended {
            code: status.code(),
            printed: self.printed,
        })
    }

    async fn next_line(&mut self) -> std::io::Result<Option<String>> {
        let line = self.output.next_line().await?;
        if let Some(line) = &line {
            eprintln!("{line}");
            self.printed.push(line.clone());
        }
        Ok(line)
    }
}

/// What a caller printed, and its exit code.
#[derive(Debug)]
pub struct Ended {
    code: Option<i32>,
    printed: Vec<String>,
}

impl Ended {
    /// Checks the exit code, and with what the first and the last line begin.
    pub fn check(&self, code: i32, first: &str, last: &str) -> anyhow::Result<()> {
        let begins = |line: Option<&String>, beginning: &str| {
            line.is_some_and(|line| line.starts_with(beginning))
        };
        anyhow::ensure!(
            self.code == Some(code)
                && begins(self.printed.first(), first)
                && begins(self.printed.last(), last),
            "expected {code}, {first}, {last}: {self:?}"
        );
        Ok(())
    }

    /// Checks that none of the secrets was printed.
    pub fn check_secrecy<'a>(
        &self,
        mut secrets: impl Iterator<Item = &'a str>,
    ) -> anyhow::Result<()> {
        let found = secrets.find(|secret| self.printed.iter().any(|line| line.contains(secret)));
        anyhow::ensure!(found.is_none(), "a caller printed a token");
        Ok(())
    }
}
