//! `sync-svc channels`: lists and restarts channels that failed.

use clap::Subcommand;
use latchkey_domain::AccountId;
use latchkey_service::database::{UNHURRIED, within};
use sqlx::PgPool;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::store::channel;
use crate::sync_reports::{self, SyncReportError};

/// The commands for failed channels.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the channels at FAILED_UNKNOWN with the reasons.
    Failed,
    /// Start failed channels again, each with a new job.
    Restart {
        /// Ids of connected accounts (UUID).
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        accounts: Vec<AccountId>,
        /// Restart the channels of every account.
        #[arg(long)]
        all: bool,
    },
}

/// Runs the command and returns the lines to print.
///
/// # Errors
/// The database failed; channels that were restarted before stay so.
pub async fn run(
    command: &Command,
    pool: &PgPool,
    now: OffsetDateTime,
) -> Result<Vec<String>, sqlx::Error> {
    let mut lines = match command {
        Command::Failed => failed(pool).await?,
        Command::Restart { accounts, .. } => restart(pool, accounts, now).await?,
    };
    if lines.is_empty() {
        lines.push("no channel is at FAILED_UNKNOWN".to_owned());
    }
    Ok(lines)
}

/// One line for each failed channel.
///
/// # Errors
/// The database failed.
pub async fn failed(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let rows = within(UNHURRIED, async {
        channel::failed(&mut *pool.acquire().await?).await
    });
    let line = |row: channel::FailedRow| {
        let since = row.failed_at.format(&Rfc3339).unwrap_or_default();
        format!(
            "{}\t{}\t{}\t{}\t{}\t{since}\t{}",
            row.account_id,
            row.channel_id,
            row.kind,
            row.provider,
            row.handle,
            row.reason.as_deref().unwrap_or_default()
        )
    };
    Ok(rows.await?.into_iter().map(line).collect())
}

/// Restarts the failed channels of these accounts, or of all if the list is empty.
/// Returns one line for each account; an account that cannot be restarted does not stop
/// the others.
///
/// # Errors
/// The database failed.
pub async fn restart(
    pool: &PgPool,
    accounts: &[AccountId],
    now: OffsetDateTime,
) -> Result<Vec<String>, sqlx::Error> {
    let mut accounts = accounts.to_vec();
    if accounts.is_empty() {
        let rows = within(UNHURRIED, async {
            channel::failed(&mut *pool.acquire().await?).await
        });
        accounts = rows.await?.into_iter().map(|row| row.account_id).collect();
        accounts.sort_unstable();
        accounts.dedup();
    }
    let mut lines = Vec::new();
    for account in accounts {
        match within(UNHURRIED, sync_reports::start(pool, account, now)).await {
            Ok(_) => lines.push(format!("{account}: restarted")),
            Err(SyncReportError::Database(error)) => return Err(error),
            Err(refused) => lines.push(format!("{account}: not restarted: {refused}")),
        }
    }
    Ok(lines)
}
