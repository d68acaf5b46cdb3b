//! Reports of workers about a sync, and the start of channels by a person or an
//! operator.

use latchkey_domain::{AccountId, ChannelId, EventId, JobId};
use latchkey_service::database::BoundedConnection;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::channel::{Input, InvalidTransition, SyncStatus};
use crate::channel_events;
use crate::store::account::Account;
use crate::store::channel::ChannelRow;
use crate::store::{account, channel, credential};

/// Why a report or a start was refused.
#[derive(Debug, thiserror::Error)]
pub enum SyncReportError {
    /// The channel does not exist.
    #[error("there is no such channel")]
    ChannelNotFound,
    /// The account does not exist or is disconnected.
    #[error("there is no such account")]
    AccountNotFound,
    /// The state machine does not accept the report in this state.
    #[error(transparent)]
    InvalidTransition(#[from] InvalidTransition),
    /// The channel was started again, and the newer start has another job.
    #[error("the channel was started again: this job and generation belong to an earlier start")]
    StaleJob,
    /// The grant is dead.
    #[error("the account's grant is dead: the person must sign in again")]
    ReauthRequired,
    /// The database failed; nothing was written.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The job of one start of a channel, as a worker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedJob {
    /// The job.
    pub job: JobId,
    /// The number of the start, from 1.
    pub generation: i32,
}

/// Applies a worker's report to a channel.
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
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
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
    let cause = EventId::generate();
    channel_events::apply(connection, &account, &mut row, input, cause, now).await??;
    transaction.commit().await?;
    Ok(row)
}

/// Starts the channels of an account that wait for the person's confirmation, and
/// restarts those that failed for another reason than the grant. Returns the account
/// and all its channels.
///
/// # Errors
/// See [`SyncReportError`].
pub async fn start(
    pool: &PgPool,
    id: AccountId,
    now: OffsetDateTime,
) -> Result<(Account, Vec<ChannelRow>), SyncReportError> {
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let connection = &mut *transaction;
    let account = account::lock(connection, id)
        .await?
        .filter(|account| account.disconnected_at.is_none())
        .ok_or(SyncReportError::AccountNotFound)?;
    let (stored, mut rows) =
        credential::lock_and_read_channels(connection, account.id, now).await?;
    let alive = stored.is_some_and(|stored| stored.grants.is_alive());
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
        channel_events::apply(connection, &account, row, Input::Start, cause, now).await??;
    }
    transaction.commit().await?;
    Ok((account, rows))
}
