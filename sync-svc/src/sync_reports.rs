//! What workers and people tell over gRPC: progress of a sync, the go.

use latchkey_domain::{AccountId, ChannelId, EventId, JobId};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::channel::{Input, InvalidTransition, SyncStatus};
use crate::channel_events;
use crate::store::account::Account;
use crate::store::channel::ChannelRow;
use crate::store::{account, channel, credential};

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SyncReportError {
    /// No such channel.
    #[error("there is no such channel")]
    ChannelNotFound,
    /// No such connected account.
    #[error("there is no such account")]
    AccountNotFound,
    /// The state machine does not know the move.
    #[error(transparent)]
    InvalidTransition(#[from] InvalidTransition),
    /// A newer start has a job of its own.
    #[error("the channel was started again: this job or generation is no longer its own")]
    StaleJob,
    /// The grant is dead.
    #[error("the account's grant is dead: the person must sign in again")]
    ReauthRequired,
    /// The database's refusal; nothing was written.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The start of a channel that a worker works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedJob {
    /// Its job.
    pub job: JobId,
    /// Its number, from 1.
    pub generation: i32,
}

/// Moves a channel by a worker's report.
///
/// # Errors
/// See [`SyncReportError`].
pub async fn report(
    pool: &PgPool,
    id: ChannelId,
    job: StartedJob,
    input: Input,
    now: OffsetDateTime,
) -> Result<ChannelRow, SyncReportError> {
    let mut transaction = pool.begin().await?;
    let connection = &mut *transaction;
    let account = channel::account_of(connection, id)
        .await?
        .ok_or(SyncReportError::ChannelNotFound)?;
    let account = account::lock(connection, account)
        .await?
        .ok_or(SyncReportError::ChannelNotFound)?;
    let mut row = channel::of_accounts(connection, &[account.id])
        .await?
        .into_iter()
        .find(|row| row.id == id)
        .ok_or(SyncReportError::ChannelNotFound)?;
    let current = StartedJob {
        job: JobId::first_of(row.id, row.state.generation),
        generation: row.state.generation,
    };
    if job != current {
        return Err(SyncReportError::StaleJob);
    }
    let before = row.state.clone();
    row.state = before.after(input, now)?;
    let cause = EventId::generate();
    channel_events::store_and_publish(connection, &account, Some(&before), &row, cause, now)
        .await?;
    transaction.commit().await?;
    Ok(row)
}

/// Starts the channels of an account that wait for the person's go, and again
/// those that failed for another reason than the grant. Answers the account and
/// every channel of it.
///
/// # Errors
/// See [`SyncReportError`].
pub async fn start(
    pool: &PgPool,
    id: AccountId,
    now: OffsetDateTime,
) -> Result<(Account, Vec<ChannelRow>), SyncReportError> {
    let mut transaction = pool.begin().await?;
    let connection = &mut *transaction;
    let account = account::lock(connection, id)
        .await?
        .filter(|account| account.disconnected_at.is_none())
        .ok_or(SyncReportError::AccountNotFound)?;
    let alive = credential::lock(connection, account.id, now)
        .await?
        .is_some_and(|stored| stored.grants.is_alive());
    let mut rows = channel::of_accounts(connection, &[account.id]).await?;
    let cause = EventId::generate();
    for row in &mut rows {
        if !matches!(
            row.state.status,
            SyncStatus::NotSynced | SyncStatus::FailedUnknown
        ) {
            continue;
        }
        if !alive {
            return Err(SyncReportError::ReauthRequired);
        }
        let before = row.state.clone();
        row.state = before.after(Input::Start, now)?;
        channel_events::store_and_publish(connection, &account, Some(&before), row, cause, now)
            .await?;
    }
    transaction.commit().await?;
    Ok((account, rows))
}
