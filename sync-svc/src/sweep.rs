//! The sweep: restarts channels whose back-off is over or whose worker reports nothing
//! more, and queues a job again that no worker took. A channel whose job a worker took
//! does not stay `ONGOING` for ever; a job that waits for a worker may wait without
//! limit.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, EventId};
use latchkey_messaging::outbox::OutboxWaker;
use latchkey_service::database::{ANSWER, BoundedConnection, within};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Input};
use crate::channel_events;
use crate::store::account::Account;
use crate::store::channel::{ChannelRow, PAGE_SIZE, Position};
use crate::store::{account, channel};

/// Time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(30);
/// After this time without a report a worker is considered lost. A job that waits is
/// queued again after this time at the earliest.
pub const WORKER_TIMEOUT: time::Duration = time::Duration::hours(1);

/// Sweeps until `stop`, and wakes the relay after a sweep that changed something. Several replicas
/// may sweep at the same time.
pub async fn run(
    pool: PgPool,
    clock: Arc<dyn Clock>,
    outbox: OutboxWaker,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        // A transaction that is cancelled here is rolled back.
        tokio::select! {
            () = stop.cancelled() => return,
            () = run_round(&pool, clock.now(), &outbox) => {}
        }
    }
}

async fn run_round(pool: &PgPool, now: OffsetDateTime, outbox: &OutboxWaker) {
    match run_once(pool, now).await {
        Ok(0) => {}
        Ok(moved) => {
            outbox.wake();
            tracing::info!(moved, "channels swept");
        }
        Err(error) => tracing::warn!(%error, "sweep failed"),
    }
}

/// Sweeps the channels of both kinds once. Returns how many channels changed or had
/// their job queued again.
///
/// # Errors
/// The database does not answer; earlier changes stay. A channel that cannot be changed
/// is skipped and logged.
pub async fn run_once(pool: &PgPool, now: OffsetDateTime) -> Result<usize, sqlx::Error> {
    let mut moved = 0;
    let mut position = Position::START;
    loop {
        let due = within(ANSWER, async {
            let mut connection = pool.acquire().await?;
            channel::due_for_sweep(&mut connection, now, now - WORKER_TIMEOUT, position).await
        })
        .await?;
        for row in &due {
            match within(ANSWER, sweep_channel(pool, row, now)).await {
                Ok(done) => moved += usize::from(done),
                Err(error) => {
                    tracing::error!(channel.id = %row.id, %error, "channel was not swept");
                }
            }
        }
        match due.last() {
            Some(last) if due.len() >= usize::try_from(PAGE_SIZE).unwrap_or(1) => {
                position = Position::after(last);
            }
            _ => return Ok(moved),
        }
    }
}

async fn sweep_channel(
    pool: &PgPool,
    seen: &ChannelRow,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let connection = &mut *transaction;
    let Some(account) = account::lock(connection, seen.account_id).await? else {
        return Ok(false);
    };
    let rows = channel::of_accounts(connection, &[account.id]).await?;
    // Read again under the lock: a report or another replica may have changed it.
    let Some(mut row) = rows
        .into_iter()
        .find(|row| row.id == seen.id && row.state == seen.state)
    else {
        return Ok(false);
    };
    let done = match input(&row.state, now) {
        Some(input) => advance(connection, &account, &mut row, input, now).await?,
        None if row.state.awaits_worker() => {
            channel_events::requeue_job(connection, &account, &row, now).await?
        }
        None => false,
    };
    transaction.commit().await?;
    Ok(done)
}

async fn advance(
    connection: &mut PgConnection,
    account: &Account,
    row: &mut ChannelRow,
    input: Input,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let cause = EventId::generate();
    let applied = channel_events::apply(connection, account, row, input, cause, now).await?;
    if applied.is_ok() {
        tracing::warn!(
            channel.id = %row.id, status = %row.state.status,
            failures = row.state.throttle_failures, "channel restarted or failed by the sweep"
        );
    }
    Ok(applied.is_ok())
}

/// The input for the channel; `None` if its job only waits.
fn input(channel: &Channel, now: OffsetDateTime) -> Option<Input> {
    if channel.throttle_until.is_some() {
        Some(Input::RetryDue)
    } else {
        channel
            .is_worker_silent(now - WORKER_TIMEOUT)
            .then_some(Input::WorkerSilent)
    }
}
