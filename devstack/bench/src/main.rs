//! `cargo dev bench`: measures how fast refresh-svc returns tokens, sign-ins, the path of events, the end
//! of sessions by logout tokens, and what grows with the number of accounts. The launcher builds this
//! program and the services with `--release`.

mod comparison;
mod database;
mod events;
mod faults;
mod instructions;
mod load;
mod login;
mod logout;
mod machine;
mod notify;
mod null_service;
mod options;
mod plot;
mod refusals;
mod report;
mod scale;
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
    /// Compare GetAccessToken with a service that does nothing, and measure storms of callers.
    Tokens(options::Options),
    /// Count the instructions of a call with valgrind, also those of a service that does nothing.
    Instructions(options::ReportOptions),
    /// Measure whether the time of a refusal reveals that an account exists.
    Refusals(options::ReportOptions),
    /// Inject faults into a provider: measure what its callers get and how long others wait.
    Faults(options::ReportOptions),
    /// Measure how fast a relay publishes an outbox, and the time from a commit to a consumer.
    Events(options::EventOptions),
    /// Measure sign-ins through the callback, the time until their accounts are committed, and the
    /// path of events with several replicas.
    Login(options::LoginOptions),
    /// Measure the memory of the services under a steady load, for an hour.
    Memory(options::MemoryOptions),
    /// Compare commits into an outbox with commits into tables with and without a trigger that
    /// notifies.
    Notify(options::EventOptions),
    /// End thousands of sessions by logout tokens of a provider while people sign in.
    Logout(options::LogoutOptions),
    /// Compare the buffers that each statement touches with few and with many accounts.
    Scale(options::ScaleOptions),
    /// Run the service that does nothing.
    #[command(hide = true)]
    NullService(null_service::Settings),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Tokens(options) => tokens::run(&options).await,
        Command::Instructions(options) => instructions::run(options).await,
        Command::Refusals(options) => refusals::run(options).await,
        Command::Faults(options) => faults::run(options).await,
        Command::Events(options) => events::run(options).await,
        Command::Login(options) => login::run(&options).await,
        Command::Memory(options) => login::memory::run(&options).await,
        Command::Notify(options) => notify::run(options).await,
        Command::Logout(options) => Box::pin(logout::run(options)).await,
        Command::Scale(options) => scale::run(&options).await,
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
