//! `latchkey audit`: what was changed in a workspace, and the end of old records.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use latchkey_config::Environment;
use latchkey_policy::audit as calls;
use latchkey_workspaces::domain_verification::rfc3339;
use latchkey_workspaces::store::audit as changes;
use serde_json::json;
use sqlx::PgPool;

use crate::answer::Answer;
use crate::database;
use crate::failure::Failure;
use crate::workspace::context::find_workspace;

/// The commands for audit records.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List what administrators and operators changed in a workspace, the newest first.
    List {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Maximum number of records.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Delete old records.
    Prune {
        /// The records.
        records: Records,
        /// Delete records that are older than this; at least 30d.
        #[arg(long, value_parser = latchkey_config::parse_duration)]
        older_than: Duration,
    },
}

/// Kinds of audit records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Records {
    /// Changes of workspaces (auth.audit).
    Changes,
    /// Calls of sync-svc (sync.audit).
    Accounts,
    /// Calls of refresh-svc (vault.audit).
    Tokens,
}

/// Runs a command.
pub(crate) async fn run(environment: &Environment, command: Command) -> Result<Answer, Failure> {
    let pool = database::open(environment).await?;
    match command {
        Command::List { workspace, limit } => list(&pool, workspace.as_deref(), limit).await,
        Command::Prune {
            records,
            older_than,
        } => prune(&pool, records, older_than).await,
    }
}

/// Lists the changes of the workspace, one line each.
async fn list(pool: &PgPool, workspace: Option<&str>, limit: i64) -> Result<Answer, Failure> {
    let workspace = find_workspace(pool, workspace).await?;
    let records = changes::records(pool, workspace.id, limit).await?;
    let entries = records.iter().map(|record| {
        let who = match (&record.email, record.user_id) {
            (Some(email), _) => email.clone(),
            (None, Some(id)) => id.to_string(),
            (None, None) => record.db_role.clone(),
        };
        let line = format!(
            "{}  {} {who} by {}  {}  {}",
            rfc3339(record.at),
            record.actor,
            record.way,
            record.action,
            record.target,
        );
        let json = json!({
            "at": rfc3339(record.at),
            "actor": record.actor,
            "way": record.way,
            "userId": record.user_id,
            "email": record.email,
            "sessionId": record.session_id,
            "databaseRole": record.db_role,
            "action": record.action,
            "target": record.target,
            "traceId": record.trace_id,
        });
        (line, json)
    });
    Ok(Answer::list(entries, "no changes are recorded yet"))
}

/// Deletes old records. The database refuses this to the roles of the services.
async fn prune(pool: &PgPool, records: Records, older_than: Duration) -> Result<Answer, Failure> {
    let pruned = match records {
        Records::Changes => changes::prune(pool, older_than).await?,
        Records::Accounts => calls::prune(pool, calls::Table::Sync, older_than).await?,
        Records::Tokens => calls::prune(pool, calls::Table::Vault, older_than).await?,
    };
    Ok(Answer::new(
        format!("{pruned} records deleted"),
        json!({ "pruned": pruned }),
    ))
}
