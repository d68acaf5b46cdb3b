//! Looks after channels that nobody moves: a retry whose time has come, a worker
//! that is not heard of, a job that waits. No channel that a worker has taken
//! stays ONGOING for ever; one that waits for a worker waits as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, EventId};
use latchkey_service::database::{ANSWER, UNHURRIED, within};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Input, Kind};
use crate::channel_events;
use crate::store::account::Account;
use crate::store::channel::{ChannelRow, PAGE_SIZE, Position};
use crate::store::{account, channel, inbox, job};

/// Looks this often.
const INTERVAL: Duration = Duration::from_secs(30);
/// Jobs of earlier starts are looked for this often.
const CLEANUP_INTERVAL: time::Duration = time::Duration::hours(1);
/// A worker that reports nothing for so long has lost its job. A job that waits is
/// not queued again before either.
pub const WORKER_TIMEOUT: time::Duration = time::Duration::hours(1);
/// Jobs of earlier starts are kept for so long, for people who look.
pub const JOB_RETENTION: time::Duration = time::Duration::days(14);

/// Sweeps until `stop`. Any number of replicas may sweep at once.
pub async fn run(pool: PgPool, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut next_cleanup = clock.now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        // What is cut off is rolled back.
        tokio::select! {
            () = stop.cancelled() => return,
            () = run_round(&pool, clock.now(), &mut next_cleanup) => {}
        }
    }
}

async fn run_round(pool: &PgPool, now: OffsetDateTime, next_cleanup: &mut OffsetDateTime) {
    match run_once(pool, now).await {
        Ok(0) => {}
        Ok(moved) => tracing::info!(moved, "channels swept"),
        Err(error) => tracing::warn!(%error, "sweep failed"),
    }
    if let Err(error) = within(UNHURRIED, inbox::delete_old(pool)).await {
        tracing::warn!(%error, "inbox was not cleaned");
    }
    if now < *next_cleanup {
        return;
    }
    match within(UNHURRIED, job::delete_all_old(pool, now - JOB_RETENTION)).await {
        Ok(_) => *next_cleanup = now + CLEANUP_INTERVAL,
        Err(error) => tracing::warn!(%error, "old jobs were not forgotten"),
    }
}

/// One sweep over both kinds. Answers how many channels moved, or had their job
/// queued again.
///
/// # Errors
/// The database does not answer; what moved before it stays moved. A channel that
/// cannot be moved is passed over, and told in the log.
pub async fn run_once(pool: &PgPool, now: OffsetDateTime) -> Result<usize, sqlx::Error> {
    let mut moved = 0;
    for kind in Kind::ALL {
        let mut position = Position::START;
        loop {
            let due = within(ANSWER, async {
                let mut connection = pool.acquire().await?;
                channel::due_for_sweep(&mut connection, kind, now, now - WORKER_TIMEOUT, position)
                    .await
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
                _ => break,
            }
        }
    }
    Ok(moved)
}

async fn sweep_channel(
    pool: &PgPool,
    seen: &ChannelRow,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let connection = &mut *transaction;
    let Some(account) = account::lock(connection, seen.account_id).await? else {
        return Ok(false);
    };
    let rows = channel::of_accounts(connection, &[account.id]).await?;
    // Under the lock: a report or another replica may have moved it.
    let Some(row) = rows
        .into_iter()
        .find(|row| row.id == seen.id && row.state == seen.state)
    else {
        return Ok(false);
    };
    let done = match input(&row.state, now) {
        Some(input) => advance(connection, &account, row, input, now).await?,
        None if row.state.awaits_worker() => {
            channel_events::requeue_job(connection, &account, &row, now).await?
        }
        None => false,
    };
    transaction.commit().await?;
    Ok(done)
}

async fn advance(
    connection: &mut sqlx::PgConnection,
    account: &Account,
    mut row: ChannelRow,
    input: Input,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let before = row.state.clone();
    let Ok(state) = before.after(input, now) else {
        return Ok(false);
    };
    tracing::warn!(
        channel.id = %row.id, status = %state.status,
        failures = state.throttle_failures, "channel moved by the sweep"
    );
    row.state = state;
    let cause = EventId::generate();
    channel_events::store_and_publish(connection, account, Some(&before), &row, cause, now).await?;
    Ok(true)
}

/// What happens to the channel; none where its job only waits.
fn input(channel: &Channel, now: OffsetDateTime) -> Option<Input> {
    if channel.throttle_until.is_some() {
        Some(Input::RetryDue)
    } else {
        channel
            .is_worker_silent(now - WORKER_TIMEOUT)
            .then_some(Input::WorkerSilent)
    }
}
