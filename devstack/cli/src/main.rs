//! `cargo dev`: Latchkey on this machine, with one command. The launcher builds this program
//! and everything that a command needs before it starts it.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use devstack::command::carry_out;
use devstack::providers::Part;
use devstack::servers::Servers;
use devstack::test::{Cases, TestOptions};
use latchkey_servers::{Progress, print_message};

/// Latchkey on this machine, on private servers that end with the command.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", version, after_help = OTHER_PROGRAMS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Build and run the release build instead of the development build.
    #[arg(long, global = true)]
    release: bool,
}

/// Commands that the launcher gives to other programs.
const OTHER_PROGRAMS: &str = "\
Programs of their own:
  bench      Build for release and measure: `cargo dev bench --help`
  faults     Break servers under load and check that nothing is lost: `cargo dev faults --help`
  kubernetes Run Latchkey on a Kubernetes of one node: `cargo dev kubernetes --help`
  proto      Write the generated code of the .proto files into the repository";

#[derive(Subcommand)]
enum Command {
    /// Start everything, demonstrate one sign-in, and run until Ctrl-C.
    Up {
        /// End after the sign-in. The exit code is 0 only if every step succeeded.
        #[arg(long)]
        once: bool,
    },
    /// Print every address of the running stack.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run PostgreSQL and RabbitMQ and print the exports for `cargo test`.
    Servers,
    /// Run everything for some minutes and draw docs/dashboard-overview.svg from what Prometheus
    /// saw.
    Dashboard,
    /// Download Keycloak and Ory Hydra and test the life of a grant at each, and at Keycloak also
    /// sign-outs, the client's key and pushed requests. The exit code is 0 only if every step
    /// succeeded.
    Providers {
        /// Only one of them: keycloak or hydra.
        server: Option<String>,
        /// Only one part of the steps at Keycloak.
        part: Option<Part>,
    },
    /// Run all tests on private servers.
    Test {
        /// Use other cases for the random tests than the fixed ones, and print their seed.
        #[arg(long)]
        random: bool,
        /// Arguments for `cargo test`.
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    carry_out("cargo dev", Box::pin(run(Arguments::parse()))).await
}

async fn run(Arguments { command, release }: Arguments) -> anyhow::Result<i32> {
    let progress: Progress = Arc::new(|line| print_message(&format!("· {line}")));
    match command {
        Command::Up { once } => devstack::up::run(once, &progress).await,
        Command::Status { json } => status(json),
        Command::Servers => {
            let servers = Servers::start("servers", &progress).await?;
            print_message("· export these in another terminal; Ctrl-C here stops the servers");
            print_lines(
                servers
                    .test_variables()
                    .iter()
                    .map(|(name, value)| format!("export {name}='{value}'")),
            );
            std::future::pending().await
        }
        Command::Dashboard => devstack::monitoring::run(&progress).await,
        Command::Providers { server, part } => {
            devstack::providers::run(server.as_deref(), part, &progress).await
        }
        Command::Test { random, arguments } => {
            let options = TestOptions {
                arguments,
                cases: if random { Cases::Random } else { Cases::Fixed },
                release,
            };
            devstack::test::run(&options, &progress).await
        }
    }
}

fn status(json: bool) -> anyhow::Result<i32> {
    let running = devstack::status::running()?;
    let Some(newest) = running.first() else {
        anyhow::bail!("no stack is running; start one with `cargo dev up`");
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
        print_message(&format!("· the newest of {} running stacks", running.len()));
    }
    Ok(0)
}

/// Adds a line such as `auth.url  http://…` for each value.
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

/// Stops if a reader such as `head` closes the output.
fn print_lines(lines: impl Iterator<Item = String>) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
    let _ = out.flush();
}
