//! `sync-svc channels`: what failed, for the operator.

use clap::Subcommand;
use latchkey_domain::AccountId;
use latchkey_service::database::{UNHURRIED, within};
use sqlx::PgPool;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::store::channel;
use crate::sync_reports::{self, SyncReportError};

/// What to do with channels that failed.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the channels at FAILED_UNKNOWN, with the reasons.
    Failed,
    /// Start them again, each with a new job.
    Restart {
        /// Connected accounts (UUID).
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        accounts: Vec<AccountId>,
        /// Those of every account.
        #[arg(long)]
        all: bool,
    },
}

/// Runs the command and answers the lines to print.
///
/// # Errors
/// The database's refusal; what was started again before it stays started.
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

/// The channels that failed, a line each.
///
/// # Errors
/// The database's refusal.
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

/// Starts what failed again, of these accounts or of all where none is named. A
/// line for each account; one that cannot be started keeps nobody else waiting.
///
/// # Errors
/// The database's refusal.
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
