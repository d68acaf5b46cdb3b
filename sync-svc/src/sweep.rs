//! Looks after channels that nobody moves: a retry whose time has come, work
//! that stands still. No channel stays ONGOING for ever.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, EventId};
use latchkey_service::database::{ANSWER, UNHURRIED, within};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::announce;
use crate::channel::{Channel, Input, Kind};
use crate::store::channel::ChannelRow;
use crate::store::{account, channel, inbox};

/// Looks this often.
const INTERVAL: Duration = Duration::from_secs(30);
/// A worker that reports nothing for so long has lost its job.
pub const STUCK_AFTER: time::Duration = time::Duration::hours(1);

/// Sweeps until `stop`. Any number of replicas may sweep at once.
pub async fn run(pool: PgPool, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match once(&pool, clock.now()).await {
            Ok(0) => {}
            Ok(moved) => tracing::info!(moved, "channels swept"),
            Err(error) => tracing::warn!(%error, "sweep failed"),
        }
        if let Err(error) = within(UNHURRIED, inbox::forget_old(&pool)).await {
            tracing::warn!(%error, "inbox was not cleaned");
        }
    }
}

/// One sweep over both kinds. Answers how many channels moved.
///
/// # Errors
/// The database's refusal; what moved before it stays moved.
pub async fn once(pool: &PgPool, now: OffsetDateTime) -> Result<usize, sqlx::Error> {
    let mut moved = 0;
    for kind in Kind::ALL {
        let due = within(ANSWER, async {
            let mut connection = pool.acquire().await?;
            channel::due(&mut connection, kind, now, now - STUCK_AFTER).await
        });
        for row in due.await? {
            moved += usize::from(within(ANSWER, move_one(pool, &row, now)).await?);
        }
    }
    Ok(moved)
}

async fn move_one(
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
    let Some(mut row) = rows
        .into_iter()
        .find(|row| row.id == seen.id && row.state == seen.state)
    else {
        return Ok(false);
    };
    let before = row.state.clone();
    let Ok(state) = before.after(input(&before), now) else {
        return Ok(false);
    };
    tracing::warn!(
        channel.id = %row.id, status = %state.status,
        failures = state.throttle_failures, "channel moved by the sweep"
    );
    row.state = state;
    let cause = EventId::generate();
    announce::channel_moved(connection, &account, Some(&before), &row, cause, now).await?;
    transaction.commit().await?;
    Ok(true)
}

fn input(channel: &Channel) -> Input {
    if channel.throttle_until.is_some() {
        Input::RetryDue
    } else {
        Input::Stuck
    }
}
