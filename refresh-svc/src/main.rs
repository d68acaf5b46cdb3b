//! `refresh-svc`: serves access tokens; generates and checks the keys that seal grants, which no
//! other program may open. The other commands for operators are in `latchkey`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use latchkey_config::{ConfigCommand, ConfigErrors, Environment, MovedCommand};
use latchkey_domain::SystemClock;
use latchkey_service::run::{config_main, service_main};
use latchkey_service::{StartError, shutdown};
use mimalloc::MiMalloc;
use refresh_svc::commands::keys::status::Lost;
use refresh_svc::config::SERVICE;
use refresh_svc::{Application, Config, commands};

/// It needs a third of the instructions of the allocator of the C library (decision 40).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What a command needs, as the table of docs/operate.md has it.
const NEEDS_THE_DATABASE: &str = "Needs:\n  \
    Role of the database: a member of latchkey_refresh\n  \
    Variables: DATABASE_URL, SEALING_PRIVATE_KEYS\n  \
    Network: database";
const NEEDS_NOTHING: &str =
    "Needs:\n  Role of the database: none\n  Variables: none\n  Network: none";

/// Serves valid access tokens over gRPC; each grant is refreshed once.
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
    /// Check the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Manage the keys that seal grants.
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Open every stored token with SEALING_PRIVATE_KEYS and count tokens by key.
    #[command(after_help = NEEDS_THE_DATABASE)]
    Check,
    #[command(hide = true)]
    Policy(MovedCommand),
    #[command(hide = true)]
    Audit(MovedCommand),
}

#[derive(Subcommand)]
enum Keys {
    /// Print a new key pair as environment variables.
    #[command(after_help = NEEDS_NOTHING)]
    Generate,
    /// Count what each key seals, and list the accounts whose key is lost.
    #[command(after_help = NEEDS_THE_DATABASE)]
    Status {
        /// Mark the grants whose key is lost, so that their owners are asked to sign in
        /// again. Only their sign-in reverses this.
        #[arg(long)]
        mark_lost: bool,
    },
    /// Reseal every grant to the first key of SEALING_PRIVATE_KEYS now; the running
    /// service also does this by itself.
    #[command(after_help = NEEDS_THE_DATABASE)]
    Reseal,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command.unwrap_or(Command::Server) {
        Command::Server => service_main(SERVICE, read, serve).await,
        Command::Config { command } => config_main(SERVICE, command, read),
        Command::Policy(moved) => {
            moved.report(SERVICE, "policy", "policy check|explain refresh-svc")
        }
        Command::Audit(moved) => moved.report(SERVICE, "audit", "audit prune tokens"),
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

/// Time that the start waits for the discovery documents of the providers.
const PROVIDERS_ANSWER_WITHIN: Duration = Duration::from_secs(30);

fn read(environment: &Environment) -> Result<Config, ConfigErrors> {
    Config::from_environment(environment, Arc::new(SystemClock))
}

async fn serve(config: Config) -> Result<(), StartError> {
    let stop = shutdown::on_signal()?;
    // The service starts anyway, because the grants of the other providers can be
    // refreshed.
    let providers = config.providers.clone();
    tokio::spawn(async move {
        if let Err(error) = providers.refuse_unsupported(PROVIDERS_ANSWER_WITHIN).await {
            tracing::error!(%error, "the grants of a provider cannot be refreshed");
        }
    });
    Application::build(config)?.run_until_stopped(stop).await
}
