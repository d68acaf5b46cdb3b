//! `refresh-svc`: serves access tokens; makes and checks keys.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use latchkey_config::Environment;
use latchkey_domain::SystemClock;
use latchkey_service::run::{complain, service_main};
use latchkey_service::{StartError, shutdown};
use refresh_svc::{Application, Configuration, commands};

const SERVICE: &str = "refresh-svc";

/// Valid access tokens over gRPC, each grant refreshed once.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default).
    Server,
    /// Keys that grants are sealed with.
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Look at a policy: who may ask for what.
    Policy {
        #[command(subcommand)]
        command: commands::policy::Command,
    },
    /// The records of who was given which token.
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Open every stored token with SEALING_PRIVATE_KEYS and count by key.
    Check,
}

#[derive(Subcommand)]
enum Keys {
    /// Print a new key pair as environment variables.
    Generate,
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
    match Arguments::parse().command.unwrap_or(Command::Server) {
        Command::Server => service_main(SERVICE, serve).await,
        Command::Keys {
            command: Keys::Generate,
        } => ended(commands::keys::generate(&mut std::io::stdout().lock())),
        Command::Policy { command } => ended(commands::policy::run(
            &command,
            &mut std::io::stdout().lock(),
        )),
        Command::Audit {
            command: Audit::Prune { older_than },
        } => ended(
            commands::audit::prune(
                &Environment::of_process(),
                older_than,
                &mut std::io::stdout(),
            )
            .await,
        ),
        Command::Check => {
            ended(commands::check::check(&Environment::of_process(), &mut std::io::stdout()).await)
        }
    }
}

fn ended(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(SERVICE, &error),
    }
}

async fn serve(environment: Environment) -> Result<(), StartError> {
    let configuration = Configuration::from_environment(&environment, Arc::new(SystemClock))?;
    let stop =
        shutdown::on_signal().map_err(|error| StartError::io("cannot handle signals", error))?;
    Application::build(configuration)?
        .run_until_stopped(stop)
        .await
}
