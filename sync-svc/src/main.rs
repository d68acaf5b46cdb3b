//! sync-svc: see the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use latchkey_config::Environment;
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::parked::Shelf;
use latchkey_service::{StartError, run, shutdown};
use sync_svc::config::SERVICE;
use sync_svc::{Application, Config, parked};

/// Turns sign-ins into connected accounts, channels and first sync jobs.
/// Configured by environment variables; see the README.
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
    /// Look after messages that could not be handled.
    Parked {
        #[command(subcommand)]
        command: parked::Command,
    },
    /// Look after events that no queue was bound for.
    Unrouted {
        #[command(subcommand)]
        command: parked::Command,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Fails only where one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (command, shelves) = match arguments.command.unwrap_or(Command::Server) {
        Command::Server => return run::service_main(SERVICE, serve).await,
        Command::Parked { command } => (command, parked::parked()),
        Command::Unrouted { command } => (command, vec![Shelf::Unrouted]),
    };
    run::ended(SERVICE, look_after(&command, shelves).await)
}

async fn serve(environment: Environment) -> Result<(), StartError> {
    let config = Config::from_environment(&environment)?;
    let stop = shutdown::on_signal()?;
    let application = Application::build(config)?;
    tracing::info!(
        grpc = ?application.grpc_address().ok(),
        health = ?application.health_address().ok(),
        "serving"
    );
    application.run_until_stopped(stop).await
}

async fn look_after(command: &parked::Command, shelves: Vec<Shelf>) -> Result<(), StartError> {
    let broker = BrokerConfig::from_environment(&Environment::of_process(), SERVICE)?;
    let lines = parked::run(command, shelves, &broker)
        .await
        .map_err(StartError::other)?;
    for line in lines {
        run::say(&line)?;
    }
    Ok(())
}
