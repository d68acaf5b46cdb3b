//! What sync-svc creates after a sign-in, read through the compatibility views.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_messaging::topology::JobQueue;
use latchkey_proto::events::SyncJob;
use prost::Message as _;
use sqlx::PgPool;
use uuid::Uuid;

use super::route::Route;
use crate::Stack;
use crate::message_recorder::MessageRecorder;
use crate::polling::{BROKER_TIMEOUT, eventually};

/// A row of the view `"connectedAccount"`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    /// Id of the account.
    pub id: Uuid,
    /// Mailbox address.
    pub handle: String,
    /// Provider name.
    pub provider: String,
    /// Whether an access token is stored.
    pub has_token: bool,
}

/// `syncStatus` of the channels of an account.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Channels {
    /// Status of the message channel, if there is one.
    pub message: Option<String>,
    /// Status of the calendar channel, if there is one.
    pub calendar: Option<String>,
}

/// Returns the accounts of a handle at a provider.
///
/// # Errors
/// The query fails.
pub async fn account_of(pool: &PgPool, provider: &str, handle: &str) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(
        r#"SELECT id, handle, provider, "accessToken" IS NOT NULL AS has_token
           FROM "connectedAccount" WHERE handle = $1 AND provider = $2"#,
    )
    .bind(handle)
    .bind(provider)
    .fetch_all(pool)
    .await
}

/// Returns the channels of an account.
///
/// # Errors
/// The query fails.
pub async fn channels_of(pool: &PgPool, account: Uuid) -> sqlx::Result<Channels> {
    sqlx::query_as(
        r#"SELECT
             (SELECT "syncStatus"::text FROM "messageChannel" WHERE "connectedAccountId" = $1) AS message,
             (SELECT "syncStatus"::text FROM "calendarChannel" WHERE "connectedAccountId" = $1) AS calendar"#,
    )
    .bind(account)
    .fetch_one(pool)
    .await
}

pub(super) async fn check(
    stack: &Stack,
    route: Route,
    handle: &str,
    report: &impl Fn(&str),
) -> anyhow::Result<Account> {
    let what = format!("a connected account for {handle}");
    let account = eventually(BROKER_TIMEOUT, &what, async || {
        let mut accounts = account_of(stack.pool(), route.provider, handle).await?;
        anyhow::ensure!(
            accounts.len() <= 1,
            "{handle} has {} accounts",
            accounts.len()
        );
        Ok(accounts.pop())
    })
    .await?;
    anyhow::ensure!(account.has_token, "the account has no token");
    report(&format!(
        "account {} of {} at {}, token stored: {}",
        account.id, account.handle, account.provider, account.has_token
    ));
    let channels = channels_of(stack.pool(), account.id).await?;
    report(&format!(
        "message channel {}, calendar channel {}",
        channels.message.as_deref().unwrap_or("absent"),
        channels.calendar.as_deref().unwrap_or("absent")
    ));
    let ongoing = Some("ONGOING".to_owned());
    anyhow::ensure!(
        channels.message == ongoing && channels.calendar == ongoing,
        "both channels should be ONGOING"
    );
    Ok(account)
}

/// Returns the numbers of waiting jobs in the order of [`QUEUES`].
pub(super) async fn waiting_jobs(recorder: &MessageRecorder) -> anyhow::Result<[u32; 2]> {
    let [messaging, calendar] = QUEUES;
    Ok([
        recorder.waiting_on(messaging.queue()).await?,
        recorder.waiting_on(calendar.queue()).await?,
    ])
}

const QUEUES: [JobQueue; 2] = [JobQueue::Messaging, JobQueue::Calendar];

pub(super) async fn check_jobs(
    recorder: &mut MessageRecorder,
    account: Uuid,
    before: [u32; 2],
    report: &impl Fn(&str),
) -> anyhow::Result<()> {
    let account = account.to_string();
    for (jobs, before) in QUEUES.into_iter().zip(before) {
        let seen = recorder
            .wait_for(jobs.job_type(), BROKER_TIMEOUT, |seen| {
                seen.routing_key == jobs.routing_key()
                    && SyncJob::decode(seen.payload.as_slice())
                        .is_ok_and(|job| job.account_id == account)
            })
            .await?;
        let job = SyncJob::decode(seen.payload.as_slice())?;
        let begun = Instant::now();
        let waiting = loop {
            let waiting = recorder
                .waiting_on(jobs.queue())
                .await
                .with_context(|| format!("there is no queue {}", jobs.queue()))?;
            // A quorum queue counts a message only after its leader has applied it.
            if waiting > before || begun.elapsed() > BROKER_TIMEOUT {
                break waiting;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        anyhow::ensure!(
            waiting == before + 1,
            "{waiting} jobs wait in {}",
            jobs.queue()
        );
        report(&format!(
            "job {} for channel {} waits in {} ({waiting})",
            seen.event_type,
            job.channel_id,
            jobs.queue()
        ));
    }
    Ok(())
}
