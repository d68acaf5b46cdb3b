//! `sync-svc`: serves, and runs the commands for operators.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use latchkey_config::{ConfigCommand, Environment};
use latchkey_domain::{Clock as _, SystemClock};
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::parked::OperatorQueue;
use latchkey_policy::Contract;
use latchkey_service::{StartError, database, run, shutdown};
use sync_svc::commands::{audit, channels, parked};
use sync_svc::config::SERVICE;
use sync_svc::{Application, Config};

/// Turns sign-ins into connected accounts, channels and first sync jobs.
/// Configured by environment variables; see docs/configuration.md.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default).
    Server,
    /// Check the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// List, show and publish again the messages that could not be handled.
    Parked {
        #[command(subcommand)]
        command: parked::Command,
    },
    /// List, show and publish again the events that no queue was bound for.
    Unrouted {
        #[command(subcommand)]
        command: parked::Command,
    },
    /// List and restart channels that failed. DATABASE_URL is that of the service.
    Channels {
        #[command(subcommand)]
        command: channels::Command,
    },
    /// Check and explain a policy: who may call which methods.
    Policy {
        #[command(subcommand)]
        command: latchkey_policy::command::Command,
    },
    /// Manage the records of answered and refused calls.
    Audit {
        #[command(subcommand)]
        command: audit::Command,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ended = match arguments.command.unwrap_or(Command::Server) {
        Command::Server => {
            return run::service_main(SERVICE, Config::from_environment, serve).await;
        }
        Command::Config { command } => {
            return run::config_main(SERVICE, command, Config::from_environment);
        }
        Command::Parked { command } => run_parked(&command, parked::parked()).await,
        Command::Unrouted { command } => run_parked(&command, OperatorQueue::Unrouted).await,
        Command::Channels { command } => run_channels(&command).await,
        Command::Policy { command } => {
            let out = &mut std::io::stdout().lock();
            latchkey_policy::command::run(&command, Contract::accounts(), out)
        }
        Command::Audit { command } => audit::run(&command, &Environment::of_process())
            .await
            .and_then(print),
    };
    run::exit_code(SERVICE, ended)
}

async fn serve(config: Config) -> Result<(), StartError> {
    let stop = shutdown::on_signal()?;
    let application = Application::build(config)?;
    tracing::info!(
        grpc = ?application.grpc_address().ok(),
        health = ?application.health_address().ok(),
        "serving"
    );
    application.run_until_stopped(stop).await
}

async fn run_parked(command: &parked::Command, queue: OperatorQueue) -> Result<(), StartError> {
    let broker = BrokerConfig::from_environment(&Environment::of_process(), SERVICE)?;
    parked::run(command, queue, &broker)
        .await
        .map_err(StartError::other)
        .and_then(print)
}

async fn run_channels(command: &channels::Command) -> Result<(), StartError> {
    let environment = Environment::of_process();
    let pool = database::pool_of_command(&environment, "sync-svc-channels")?;
    channels::run(command, &pool, SystemClock.now())
        .await
        .map_err(StartError::other)
        .and_then(print)
}

fn print(lines: Vec<String>) -> Result<(), StartError> {
    for line in lines {
        run::print_answer(&line)?;
    }
    Ok(())
}
