//! `latchkey-migrate`: migrates the database of `DATABASE_URL` to the newest schema and
//! exits. A deployment runs it before its services.

use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr as _;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use latchkey_config::{ConfigCommand, ConfigError, ConfigErrors, Environment, report};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

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
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::of_process();
    let options = options(&environment).map_err(ConfigErrors::from);
    if let Some(Command::Config { command }) = arguments.command {
        return command.run(PROGRAM, &environment, options);
    }
    let migrated = match options {
        Ok(options) => migrate(options).await,
        Err(errors) => return report(PROGRAM, &errors, &environment.warnings()),
    };
    // The exit code remains even if the message cannot be written.
    let mut out = std::io::stderr();
    match migrated {
        Ok(()) => {
            let _ = writeln!(out, "database is up to date");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(out, "{PROGRAM}: {error:#}");
            ExitCode::FAILURE
        }
    }
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
    let pool = PgPool::connect_with(options)
        .await
        .context("cannot connect to the database of DATABASE_URL")?;
    latchkey_migrations::run(&pool).await?;
    Ok(())
}
