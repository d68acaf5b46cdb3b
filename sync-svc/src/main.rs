//! sync-svc: see the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use latchkey_config::Environment;
use latchkey_domain::{Clock as _, SystemClock};
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::parked::Shelf;
use latchkey_policy::audit::{self, Table};
use latchkey_service::{StartError, run, shutdown};
use sync_svc::commands::{channels, parked};
use sync_svc::config::SERVICE;
use sync_svc::{Application, Config};

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
    /// Look after channels that failed. DATABASE_URL is that of the service.
    Channels {
        #[command(subcommand)]
        command: channels::Command,
    },
    /// Look at a policy: who may call, and what.
    Policy {
        #[command(subcommand)]
        command: latchkey_policy::command::Command,
    },
    /// The records of who was answered what.
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Take old records away, as an operator: DATABASE_URL is a person's.
    Prune {
        /// What is younger stays; 30d at least.
        #[arg(long, value_parser = latchkey_config::parse_duration)]
        older_than: std::time::Duration,
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
        Command::Channels { command } => {
            return run::ended(SERVICE, look_after_channels(&command).await);
        }
        Command::Policy { command } => {
            let out = &mut std::io::stdout().lock();
            let ended =
                latchkey_policy::command::run(&command, latchkey_policy::Contract::accounts(), out);
            return run::ended(SERVICE, ended);
        }
        Command::Audit {
            command: Audit::Prune { older_than },
        } => return run::ended(SERVICE, prune(older_than).await),
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

async fn look_after_channels(command: &channels::Command) -> Result<(), StartError> {
    let environment = Environment::of_process();
    let pool = latchkey_service::database::pool_of_command(&environment, "sync-svc-channels")?;
    let lines = channels::run(command, &pool, SystemClock.now())
        .await
        .map_err(StartError::other)?;
    for line in lines {
        run::say(&line)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
async fn prune(older_than: std::time::Duration) -> Result<(), StartError> {
    let environment = Environment::of_process();
    let pool = latchkey_service::database::pool(&environment, "sync-svc-audit")?;
    let pruned = audit::prune(&pool, Table::Sync, older_than)
        .await
        .map_err(StartError::other)?;
    println!("{pruned} records taken away");
    Ok(())
}
