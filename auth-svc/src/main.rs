//! `auth-svc`: sign-in and sessions. The commands for operators are in `latchkey`.

use std::process::ExitCode;

use auth_svc::app::{self, Application, SERVICE};
use auth_svc::state::State;
use clap::{Parser, Subcommand};
use latchkey_config::{ConfigCommand, MovedCommand};
use latchkey_messaging::broker::BrokerConfig;
use latchkey_service::run::{config_main, service_main};
use latchkey_service::{StartError, shutdown};
use mimalloc::MiMalloc;

/// It needs a third of the instructions of the allocator of the C library (decision 40).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(version, about = "Latchkey's sign-in service")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service (the default).
    Server,
    /// Checks the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(hide = true)]
    Keys(MovedCommand),
    #[command(hide = true)]
    Workspace(MovedCommand),
    #[command(hide = true)]
    RedirectUris(MovedCommand),
}

#[actix_web::main]
async fn main() -> ExitCode {
    match Arguments::parse().command.unwrap_or(Command::Server) {
        Command::Server => {
            let serve = |(state, broker)| serve(state, broker);
            service_main(SERVICE, app::read, serve).await
        }
        Command::Config(command) => config_main(SERVICE, command, app::read),
        Command::Keys(moved) => moved.report(SERVICE, "keys", "keys"),
        Command::Workspace(moved) => moved.report(SERVICE, "workspace", "workspace"),
        Command::RedirectUris(moved) => moved.report(SERVICE, "redirect-uris", "redirect-uris"),
    }
}

async fn serve(state: State, broker: BrokerConfig) -> Result<(), StartError> {
    let stop = shutdown::on_signal()?;
    let application = Application::new(state, broker)?;
    application.check_providers().await?;
    application.run_until_stopped(stop).await
}
