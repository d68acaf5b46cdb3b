//! `latchkey-migrate`: migrates the database of `DATABASE_URL` to the newest schema and
//! exits. A deployment runs it before its services, or lets them wait by `latchkey-migrate wait`.

use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use latchkey_config::{
    ConfigCommand, ConfigError, ConfigErrors, Environment, format_duration, parse_duration, report,
};
use latchkey_migrations::{NotReady, Waiting};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};

const PROGRAM: &str = "latchkey-migrate";

/// Migrates the database of DATABASE_URL, whose role may create schemas and roles, to the newest
/// schema.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check the configuration instead.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Wait until every migration of this release is applied, with the role of any service.
    /// The database may also have migrations of a newer release.
    Wait {
        /// How long to wait, such as 30s or 5m.
        #[arg(long, default_value = "5m", value_parser = parse_duration)]
        timeout: Duration,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::of_process();
    let options = options(&environment).map_err(ConfigErrors::from);
    let outcome = match (arguments.command, options) {
        (Some(Command::Config { command }), options) => {
            return command.run(PROGRAM, &environment, options);
        }
        (_, Err(errors)) => return report(PROGRAM, &errors, &environment.warnings()),
        (Some(Command::Wait { timeout }), Ok(options)) => wait(&options, timeout).await,
        (None, Ok(options)) => migrate(options).await,
    };
    match outcome {
        Ok(()) => {
            print("database is up to date");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line to standard error. If that is closed, the exit code remains.
fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "{PROGRAM}: {line}");
}

fn options(environment: &Environment) -> Result<PgConnectOptions, ConfigError> {
    const NAME: &str = "DATABASE_URL";
    const EXAMPLE: &str = "postgres://owner:password@host:5432/database";
    let url = environment.server_url(NAME, &["postgres", "postgresql"], EXAMPLE)?;
    // The error of the parser may show the password.
    PgConnectOptions::from_str(&url)
        .map_err(|_| ConfigError::new(NAME, format!("must be a URL such as {EXAMPLE}")))
}

async fn migrate(options: PgConnectOptions) -> anyhow::Result<()> {
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let failed = || format!("cannot connect to {server}, the server of DATABASE_URL");
    // A pool that cannot connect says only that its time is over.
    let connection = PgConnection::connect_with(&options)
        .await
        .with_context(failed)?;
    connection.close().await.with_context(failed)?;
    let pool = PgPool::connect_with(options).await.with_context(failed)?;
    let waiting = |reason| {
        print(match reason {
            Waiting::OtherMigrator => "waiting: another latchkey-migrate is running",
            Waiting::Lock => "waiting: a long transaction uses a table that a migration changes",
        });
    };
    latchkey_migrations::run_reporting(&pool, waiting).await?;
    Ok(())
}

async fn wait(options: &PgConnectOptions, timeout: Duration) -> anyhow::Result<()> {
    let waiting = |problem: &NotReady| print(&format!("waiting: {problem}"));
    latchkey_migrations::wait(options, timeout, waiting)
        .await
        .with_context(|| format!("gave up after {}", format_duration(timeout)))
}
