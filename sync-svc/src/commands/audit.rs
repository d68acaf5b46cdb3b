//! `sync-svc audit`: the records of `sync.audit`.

use std::time::Duration;

use clap::Subcommand;
use latchkey_config::Environment;
use latchkey_policy::audit::{self, Table};
use latchkey_service::{StartError, database};

/// The commands for audit records.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Delete old records. DATABASE_URL must be that of a person in the role
    /// `latchkey_operator`.
    Prune {
        /// Delete records that are older than this; at least 30d.
        #[arg(long, value_parser = latchkey_config::parse_duration)]
        older_than: Duration,
    },
}

/// Runs the command and returns the lines to print.
///
/// # Errors
/// `DATABASE_URL` is wrong, or the database failed or refused.
pub async fn run(command: &Command, environment: &Environment) -> Result<Vec<String>, StartError> {
    let Command::Prune { older_than } = command;
    let pool = database::pool_of_command(environment, "sync-svc-audit")?;
    let pruned = audit::prune(&pool, Table::Sync, *older_than)
        .await
        .map_err(StartError::other)?;
    Ok(vec![format!("{pruned} records deleted")])
}
