//! `latchkey migrations`: brings the schema of the database up to date. `latchkey-migrate` does the
//! same in a deployment.

use std::time::Duration;

use clap::Subcommand;
use latchkey_config::{Environment, format_duration, parse_duration};
use latchkey_migrations::NotReady;
use latchkey_service::database::{connect_once, options};
use serde_json::json;
use sqlx::{Connection as _, PgPool};

use crate::answer::Answer;
use crate::console::Console;
use crate::failure::Failure;

/// The commands for migrations.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Apply the migrations of this release that are missing.
    Apply,
    /// List the migrations of this release. The exit code is 1 if one is missing.
    Status,
    /// Wait until every migration of this release is applied. The database may also have
    /// migrations of a newer release.
    Wait {
        /// How long to wait, such as 30s or 5m.
        #[arg(long, default_value = "5m", value_parser = parse_duration)]
        timeout: Duration,
    },
}

/// Runs a command.
pub(crate) async fn run(
    environment: &Environment,
    command: Command,
    console: &mut Console<'_>,
) -> Result<Answer, Failure> {
    let options = options(environment)?;
    match command {
        Command::Apply => {
            let connection = connect_once(&options).await.map_err(Failure::of)?;
            // It was only tried out: a pool that cannot connect does not say why.
            let _ = connection.close().await;
            let pool = PgPool::connect_with(options).await?;
            latchkey_migrations::run(&pool).await.map_err(Failure::of)?;
            Ok(up_to_date())
        }
        Command::Status => {
            let mut connection = connect_once(&options).await.map_err(Failure::of)?;
            let status = latchkey_migrations::status(&mut connection)
                .await
                .map_err(Failure::of)?;
            let missing = status.missing().count();
            let entries = status.known.iter().map(|state| {
                let what = if state.applied { "applied" } else { "missing" };
                let line = format!("{}  {what}  {}", state.version, state.description);
                let json = json!({
                    "version": state.version,
                    "description": state.description,
                    "applied": state.applied,
                });
                (line, json)
            });
            Ok(Answer::list(entries, "").with_finding(missing > 0))
        }
        Command::Wait { timeout } => {
            // `wait` may call it while it is borrowed, for all that the types say.
            let reasons = std::cell::RefCell::new(console);
            let waiting = |problem: &NotReady| {
                reasons.borrow_mut().say(&format!("waiting: {problem}"));
            };
            latchkey_migrations::wait(&options, timeout, waiting)
                .await
                .map_err(|problem| {
                    Failure::Refused(format!(
                        "gave up after {}: {problem}",
                        format_duration(timeout)
                    ))
                })?;
            Ok(up_to_date())
        }
    }
}

fn up_to_date() -> Answer {
    Answer::new("database is up to date", json!({ "upToDate": true }))
}
