//! `sync-svc`: connected accounts, channels and sync jobs. The commands for operators are in
//! `latchkey`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use latchkey_config::{ConfigCommand, MovedCommand};
use latchkey_service::{StartError, run, shutdown};
use mimalloc::MiMalloc;
use sync_svc::config::SERVICE;
use sync_svc::{Application, Config};

/// It needs a third of the instructions of the allocator of the C library (decision 40).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    #[command(hide = true)]
    Parked(MovedCommand),
    #[command(hide = true)]
    Unrouted(MovedCommand),
    #[command(hide = true)]
    Channels(MovedCommand),
    #[command(hide = true)]
    Policy(MovedCommand),
    #[command(hide = true)]
    Audit(MovedCommand),
}

/// One thread: several would wake each other for each answer of the database (decision 45).
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.command.unwrap_or(Command::Server) {
        Command::Server => run::service_main(SERVICE, Config::from_environment, serve).await,
        Command::Config { command } => run::config_main(SERVICE, command, Config::from_environment),
        Command::Parked(moved) => moved.report(SERVICE, "parked", "parked"),
        Command::Unrouted(moved) => moved.report(SERVICE, "unrouted", "unrouted"),
        Command::Channels(moved) => moved.report(SERVICE, "channels", "channels"),
        Command::Policy(moved) => moved.report(SERVICE, "policy", "policy check|explain sync-svc"),
        Command::Audit(moved) => moved.report(SERVICE, "audit", "audit prune accounts"),
    }
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
