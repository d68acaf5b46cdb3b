//! `cargo dev kubernetes`: a Kubernetes of one node on this machine with Latchkey on it, started
//! as an operator starts it. The launcher builds this program and the services with `--release`.
//!
//! The process that a person starts ([`host`]) builds what is missing, and starts this program
//! again in namespaces of its own ([`namespaces`]). That second process ([`inside`]) starts the
//! servers and the cluster, deploys, and checks.

mod addresses;
mod cgroup;
mod cluster;
mod definitions;
mod deployment;
mod digest;
mod failure;
mod forward;
mod hidden;
mod host;
mod image;
mod inside;
mod kubectl;
mod namespaces;
mod output;
mod previous;
mod programs;
mod rates;
mod readme;
mod services;
mod session;
mod sign_in;
mod stack;
mod test;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use devstack::command::carry_out;
use latchkey_servers::{Progress, print_message};

use host::Wanted;
use rates::Rates;
use session::Session;

/// Latchkey on a Kubernetes of one node, which ends with the command and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "cargo dev kubernetes", version, after_help = STATIC)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// End after the sign-in. The exit code is 0 only if every step succeeded.
    #[arg(long)]
    once: bool,
}

/// The launcher carries this out as a part of `cargo dev test`.
const STATIC: &str = "\
Without a cluster:
  cargo dev kubernetes --only-static   Check the manifests by rules and schemas";

#[derive(Debug, Subcommand)]
enum Command {
    /// Test the deployment on a cluster, under load, and print a table of the results. The exit
    /// code is 0 only if every test succeeded.
    Test {
        /// Only the tests whose name contains one of these words.
        words: Vec<String>,
        /// The previous release for the tests of an upgrade: a commit or a tag. By default it is the
        /// latest tag before this commit.
        #[arg(long, value_name = "COMMIT")]
        previous: Option<String>,
        #[command(flatten)]
        rates: Rates,
    },
    /// Run in the namespaces of a cluster.
    #[command(hide = true)]
    Inside {
        /// The session in JSON.
        session: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let progress: Progress = Arc::new(|line| print_message(&format!("· {line}")));
    carry_out(
        "cargo dev kubernetes",
        Box::pin(run(Arguments::parse(), &progress)),
    )
    .await
}

async fn run(arguments: Arguments, progress: &Progress) -> anyhow::Result<i32> {
    match arguments.command {
        Some(Command::Inside { session }) => {
            inside::run(&Session::parse(&session)?, progress).await
        }
        Some(Command::Test {
            words,
            previous,
            rates,
        }) => {
            let wanted = Wanted::Test {
                words,
                previous,
                rates,
            };
            host::run(&wanted, progress).await
        }
        None if arguments.once => host::run(&Wanted::Once, progress).await,
        None => host::run(&Wanted::Stay, progress).await,
    }
}
