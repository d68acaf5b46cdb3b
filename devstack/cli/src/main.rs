//! `cargo dev`: Latchkey on this machine, with one command.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use devstack::servers::Servers;
use devstack::test::Cases;
use latchkey_servers::Progress;
use tokio::signal::unix::{SignalKind, signal};

/// Latchkey on this machine: private servers, nothing left behind.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start everything, walk one sign-in through it, and stay.
    Up {
        /// End after the sign-in: exit 0 only where every step held.
        #[arg(long)]
        once: bool,
    },
    /// Print every address of the running stack.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run PostgreSQL and RabbitMQ and print the exports for `cargo test`.
    Servers,
    /// Build for release and measure: `cargo dev bench tokens`, `--quick` for a look.
    Bench {
        /// Passed to the benchmarks.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<OsString>,
    },
    /// Fetch Keycloak and Ory Hydra as they are published, and walk everything that
    /// happens to a grant: exit 0 only where every step held.
    Providers {
        /// One of them: keycloak, hydra.
        server: Option<String>,
    },
    /// Build and run all tests on their own servers.
    Test {
        /// Other cases for the random tests than the fixed ones; the seed is printed.
        #[arg(long)]
        random: bool,
        /// Passed to `cargo test`.
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::select! {
        outcome = run(arguments.command) => outcome,
        // Everything that was started goes as its owner is dropped.
        code = interrupted() => Ok(code),
    };
    match outcome {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            tell(&format!("cargo dev: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<i32> {
    let progress: Progress = Arc::new(|line| tell(&format!("· {line}")));
    match command {
        Command::Up { once } => devstack::up::run(once, &progress).await,
        Command::Status { json } => status(json),
        Command::Servers => {
            let servers = Servers::start("servers", &progress).await?;
            tell("· export these in another terminal; Ctrl-C here stops the servers");
            print_lines(
                servers
                    .test_variables()
                    .iter()
                    .map(|(name, value)| format!("export {name}='{value}'")),
            );
            std::future::pending().await
        }
        Command::Bench { arguments } => devstack::bench::run(&arguments, &progress).await,
        Command::Providers { server } => {
            devstack::providers::run(server.as_deref(), &progress).await
        }
        Command::Test { random, arguments } => {
            let cases = if random { Cases::Random } else { Cases::Fixed };
            devstack::test::run(&arguments, cases, &progress).await
        }
    }
}

fn status(json: bool) -> anyhow::Result<i32> {
    let running = devstack::status::running()?;
    let Some(newest) = running.first() else {
        anyhow::bail!("no stack is running: start one with `cargo dev up`");
    };
    let value = serde_json::to_value(newest)?;
    if json {
        print_lines(std::iter::once(serde_json::to_string_pretty(&value)?));
        return Ok(0);
    }
    let mut lines = Vec::new();
    flatten("", &value, &mut lines);
    print_lines(lines.into_iter());
    if running.len() > 1 {
        tell(&format!(
            "· the newest of {} stacks that run",
            running.len()
        ));
    }
    Ok(0)
}

/// `auth.url  http://…`, a line per value.
fn flatten(path: &str, value: &serde_json::Value, lines: &mut Vec<String>) {
    let mut below = |key: &str, value| {
        let dot = if path.is_empty() { "" } else { "." };
        flatten(&format!("{path}{dot}{key}"), value, lines);
    };
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                below(key, value);
            }
        }
        serde_json::Value::Array(items) => {
            for (position, value) in items.iter().enumerate() {
                below(&position.to_string(), value);
            }
        }
        serde_json::Value::String(text) => lines.push(format!("{path:<28} {text}")),
        other => lines.push(format!("{path:<28} {other}")),
    }
}

/// To the person at the terminal, where one still reads.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Until a reader such as `head` has seen enough.
fn print_lines(lines: impl Iterator<Item = String>) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
    let _ = out.flush();
}

/// Waits for Ctrl-C, a closed terminal or a polite kill; the exit code of it.
async fn interrupted() -> i32 {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut stream) => {
            stream.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => 130,
        () = wait(SignalKind::terminate()) => 143,
        () = wait(SignalKind::hangup()) => 129,
    }
}
