//! `cargo dev bench`: how fast tokens are handed out. A program of its own, so
//! that the load generator is built as the services are: with `--release`.

mod comparison;
mod faults;
mod load;
mod machine;
mod null_service;
mod options;
mod plot;
mod process;
mod refusals;
mod report;
mod storm;
mod testbed;
mod tokens;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks of Latchkey.
#[derive(Parser)]
#[command(name = "cargo dev bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// GetAccessToken against a service that does nothing, and storms.
    Tokens(options::Options),
    /// Whether the time of a refusal tells that there is such an account.
    Refusals(report::ReportOptions),
    /// A provider in trouble: what its callers are told, and how long others wait.
    Faults(report::ReportOptions),
    /// The service that does nothing.
    #[command(hide = true)]
    NullService(null_service::Settings),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Tokens(options) => tokens::run(&options).await,
        Command::Refusals(options) => refusals::run(options).await,
        Command::Faults(options) => faults::run(options).await,
        Command::NullService(settings) => null_service::serve(settings).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cargo dev bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
