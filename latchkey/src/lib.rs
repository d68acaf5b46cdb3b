//! The commands for operators: workspaces, the audit, waiting messages, channels, policies, keys,
//! redirect URIs and migrations.
//!
//! A command prints text for people or, with `--json`, one JSON value. What it needs, the role of
//! the database and the servers that it must reach, stands in one table ([`needs`]), which `--help`
//! and docs/operate.md show.

mod answer;
mod arguments;
mod audit;
mod channels;
mod client_keys;
mod completion;
mod console;
mod database;
mod failure;
mod keys;
mod migrations;
pub mod needs;
mod policy;
mod program;
mod redirect_uris;
mod report;
mod waiting_messages;
mod workspace;

use std::process::ExitCode;
use std::sync::Arc;

use latchkey_config::Environment;
use latchkey_domain::SystemClock;

pub use arguments::{Cli, Command, command, parse};
pub use console::Console;

use answer::Answer;
use failure::Failure;
use report::report;

/// Carries a command out and returns its exit code: 0 if it did what it should; 1 if there is no
/// such thing, a check found something or a server refused; 2 for wrong arguments; 78 for a faulty
/// variable.
pub async fn run(cli: Cli, environment: &Environment, console: &mut Console<'_>) -> ExitCode {
    let json = cli.json;
    let outcome = match carry_out(cli.command, environment, console).await {
        Ok(answer) => console
            .print(&answer.print(json))
            .map(|()| answer.exit_code()),
        Err(failure) => Err(failure),
    };
    outcome.unwrap_or_else(|failure| report(&failure, environment, console))
}

async fn carry_out(
    command: Command,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<Answer, Failure> {
    match command {
        Command::Workspace(command) => workspace::run(environment, command).await,
        Command::Audit(command) => audit::run(environment, command).await,
        Command::Parked(command) => {
            waiting_messages::run(environment, waiting_messages::parked(), command, console).await
        }
        Command::Unrouted(command) => {
            waiting_messages::run(environment, waiting_messages::unrouted(), command, console).await
        }
        Command::Channels(command) => channels::run(environment, command).await,
        Command::Policy(command) => policy::run(&command),
        Command::Keys(command) => keys::run(&command),
        Command::RedirectUris => redirect_uris::run(environment),
        Command::ClientKeys => client_keys::run(environment),
        Command::Migrations(command) => migrations::run(environment, command, console).await,
        Command::Doctor(doctor) => {
            let report = doctor.examine(environment, Arc::new(SystemClock)).await?;
            let answer = Answer::new(report.to_string(), report.to_json());
            Ok(answer.with_finding(!report.is_healthy()))
        }
        Command::Completion { shell } => Ok(completion::script(shell)),
    }
}
