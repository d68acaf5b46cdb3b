//! `latchkey channels`: lists and restarts channels that failed.

use clap::Subcommand;
use latchkey_accounts::store::channel::{self, FailedRow};
use latchkey_accounts::sync_reports::{self, SyncReportError};
use latchkey_config::Environment;
use latchkey_domain::{AccountId, Clock as _, SystemClock};
use latchkey_service::database::{UNHURRIED, within};
use latchkey_workspaces::domain_verification::rfc3339;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::answer::Answer;
use crate::database;
use crate::failure::Failure;

const NONE: &str = "no channel is at FAILED_UNKNOWN";

/// The commands for failed channels.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the channels at FAILED_UNKNOWN with the reasons.
    Failed,
    /// Start failed channels again, each with a new job. The exit code is 1 if one is not restarted.
    Restart {
        /// Ids of connected accounts (UUID).
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        accounts: Vec<AccountId>,
        /// Restart the channels of every account.
        #[arg(long)]
        all: bool,
    },
}

/// Runs a command.
pub(crate) async fn run(environment: &Environment, command: Command) -> Result<Answer, Failure> {
    let pool = database::open(environment).await?;
    match command {
        Command::Failed => {
            let rows = failed(&pool).await?;
            Ok(Answer::list(rows.iter().map(entry), NONE))
        }
        Command::Restart { accounts, .. } => restart(&pool, accounts).await,
    }
}

async fn failed(pool: &PgPool) -> Result<Vec<FailedRow>, sqlx::Error> {
    within(UNHURRIED, async {
        channel::failed(&mut *pool.acquire().await?).await
    })
    .await
}

fn entry(row: &FailedRow) -> (String, Value) {
    let since = rfc3339(row.failed_at);
    let line = format!(
        "{}\t{}\t{}\t{}\t{}\t{since}\t{}",
        row.account_id,
        row.channel_id,
        row.kind,
        row.provider,
        row.handle,
        row.reason.as_deref().unwrap_or_default()
    );
    let json = json!({
        "accountId": row.account_id,
        "channelId": row.channel_id,
        "kind": row.kind,
        "provider": row.provider,
        "handle": row.handle,
        "failedAt": since,
        "reason": row.reason,
    });
    (line, json)
}

/// Restarts the failed channels of these accounts, or of all if the list is empty. An account that
/// cannot be restarted does not stop the others.
async fn restart(pool: &PgPool, mut accounts: Vec<AccountId>) -> Result<Answer, Failure> {
    if accounts.is_empty() {
        accounts = failed(pool)
            .await?
            .into_iter()
            .map(|row| row.account_id)
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
    }
    let (mut entries, mut is_refused) = (Vec::new(), false);
    for account in accounts {
        let started = sync_reports::start(pool, account, SystemClock.now());
        let problem = match within(UNHURRIED, started).await {
            Ok(_) => None,
            Err(SyncReportError::Database(error)) => return Err(error.into()),
            Err(refused) => Some(refused.to_string()),
        };
        is_refused |= problem.is_some();
        let line = match &problem {
            None => format!("{account}: restarted"),
            Some(problem) => format!("{account}: not restarted: {problem}"),
        };
        let json = json!({
            "accountId": account,
            "restarted": problem.is_none(),
            "problem": problem,
        });
        entries.push((line, json));
    }
    Ok(Answer::list(entries.into_iter(), NONE).with_finding(is_refused))
}
