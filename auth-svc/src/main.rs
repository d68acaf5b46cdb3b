//! `auth-svc`: sign-in and sessions, and the commands for operators.

use std::process::ExitCode;

use auth_svc::app::{self, Application, SERVICE};
use auth_svc::commands::{keys, redirect_uris, workspace};
use auth_svc::state::State;
use clap::{Parser, Subcommand};
use latchkey_config::{ConfigCommand, Environment};
use latchkey_messaging::broker::BrokerConfig;
use latchkey_service::run::{config_main, exit_code, print_answer, service_main};
use latchkey_service::{StartError, shutdown};

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
    /// Generates keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Creates workspaces and manages who may join them.
    Workspace {
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        command: workspace::Command,
    },
    /// Prints the redirect URIs and origins to register at each provider.
    RedirectUris,
}

#[actix_web::main]
async fn main() -> ExitCode {
    let environment = Environment::of_process();
    let answer = match Arguments::parse().command.unwrap_or(Command::Server) {
        Command::Server => {
            let serve = |(state, broker)| serve(state, broker);
            return service_main(SERVICE, app::read, serve).await;
        }
        Command::Config(command) => return config_main(SERVICE, command, app::read),
        Command::Keys(command) => keys::run(&command),
        Command::Workspace { json, command } => workspace::run(&environment, command)
            .await
            .map(|output| output.print(json)),
        Command::RedirectUris => redirect_uris::print(&environment).map_err(StartError::from),
    };
    let printed = answer.and_then(|answer| print_answer(answer.trim_end()));
    exit_code(SERVICE, printed)
}

async fn serve(state: State, broker: BrokerConfig) -> Result<(), StartError> {
    let stop = shutdown::on_signal()?;
    let application = Application::new(state, broker)?;
    application.check_providers().await?;
    application.run_until_stopped(stop).await
}
