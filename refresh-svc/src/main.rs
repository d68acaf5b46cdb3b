//! `refresh-svc`: serves access tokens; makes and checks keys.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use latchkey_config::Environment;
use latchkey_domain::SystemClock;
use latchkey_policy::Contract;
use latchkey_service::run::service_main;
use latchkey_service::{StartError, shutdown};
use refresh_svc::commands::keys::status::Lost;
use refresh_svc::{Application, Config, commands};

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
        command: latchkey_policy::command::Command,
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
    /// Count what each key seals, and list the accounts whose key is lost.
    Status {
        /// Mark the grants whose key is lost, so that their owners are asked to
        /// sign in again. There is no way back but their sign-in.
        #[arg(long)]
        mark_lost: bool,
    },
    /// Move every grant to the first key of SEALING_PRIVATE_KEYS now; the
    /// running service does so by itself.
    Reseal,
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
        Command::Policy { command } => ended(latchkey_policy::command::run(
            &command,
            Contract::tokens(),
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
        Command::Keys { command } => ended(keys(command).await),
        Command::Check => {
            ended(commands::check::check(&Environment::of_process(), &mut std::io::stdout()).await)
        }
    }
}

async fn keys(command: Keys) -> Result<(), StartError> {
    let environment = Environment::of_process();
    let out = &mut std::io::stdout();
    match command {
        Keys::Generate => commands::keys::generate::generate(out),
        Keys::Status { mark_lost } => {
            let lost = if mark_lost { Lost::Mark } else { Lost::List };
            commands::keys::status::status(&environment, lost, out).await
        }
        Keys::Reseal => commands::keys::reseal::reseal(&environment, out).await,
    }
}

fn ended(outcome: Result<(), StartError>) -> ExitCode {
    latchkey_service::run::exit_code(SERVICE, outcome)
}

/// How long the start waits for the discovery documents of the providers.
const PROVIDERS_ANSWER_WITHIN: Duration = Duration::from_secs(30);

async fn serve(environment: Environment) -> Result<(), StartError> {
    let config = Config::from_environment(&environment, Arc::new(SystemClock))?;
    let stop = shutdown::on_signal()?;
    // Nothing is stopped for it: the grants of the other providers are refreshed.
    let providers = config.providers.clone();
    tokio::spawn(async move {
        if let Err(error) = providers.refuse_unsupported(PROVIDERS_ANSWER_WITHIN).await {
            tracing::error!(%error, "the grants of a provider cannot be refreshed");
        }
    });
    Application::build(config)?.run_until_stopped(stop).await
}
