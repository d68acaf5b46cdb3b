//! `auth-svc`: sign-in, sessions, and what an operator does to workspaces.

use std::process::ExitCode;

use auth_svc::app::{self, Application, SERVICE};
use auth_svc::commands::{keys, redirect_uris, workspace};
use clap::{Parser, Subcommand};
use latchkey_config::Environment;
use latchkey_service::run::{exit_code, print_answer, service_main};
use latchkey_service::{StartError, shutdown};

#[derive(Parser)]
#[command(version, about = "Latchkey's sign-in service")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves (the default).
    Server,
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Makes keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Creates workspaces and says who may join them.
    Workspace {
        /// Answers in JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        command: workspace::Command,
    },
    /// Prints the redirect URIs and origins to register at each provider.
    RedirectUris,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Reads every variable and says which one is wrong; starts nothing.
    Check,
}

#[actix_web::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        None | Some(Command::Server) => service_main(SERVICE, serve).await,
        Some(command) => exit_code(SERVICE, run(command).await),
    }
}

async fn serve(environment: Environment) -> Result<(), StartError> {
    let stop = shutdown::on_signal()?;
    let application = Application::build(&environment)?;
    application.check_providers().await?;
    application.run_until_stopped(stop).await
}

async fn run(command: Command) -> Result<(), StartError> {
    let environment = Environment::of_process();
    let answer = match command {
        Command::Server => String::new(),
        Command::Config(ConfigCommand::Check) => {
            app::read(&environment)?;
            "the configuration is complete".to_owned()
        }
        Command::Keys(command) => keys::run(&command)?,
        Command::Workspace { json, command } => {
            workspace::run(&environment, command).await?.print(json)
        }
        Command::RedirectUris => redirect_uris::print(&environment)?,
    };
    print_answer(answer.trim_end())
}
