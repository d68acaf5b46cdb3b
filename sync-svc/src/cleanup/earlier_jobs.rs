//! Deletes the jobs of earlier starts and of deleted channels, which are kept for 14 days for
//! investigations. The job of a channel's last start stays, however old: it may have to be queued
//! again.

use std::time::Duration;

use latchkey_service::database::{UNHURRIED, within};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Maximum number of jobs that one statement looks at.
const WINDOW: i64 = 1000;

/// The time between two windows.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between the end of the table and the next look at its beginning.
const EVERY: Duration = Duration::from_mins(10);

/// How far the old jobs were looked at, in the order of their creation. Most of them are the last of
/// their channel and stay, so a search from the beginning would read all of them each time.
#[derive(Debug)]
pub struct EarlierJobs {
    after: (OffsetDateTime, Uuid),
}

impl Default for EarlierJobs {
    fn default() -> Self {
        Self {
            after: (OffsetDateTime::UNIX_EPOCH, Uuid::nil()),
        }
    }
}

impl EarlierJobs {
    /// Looks at the next jobs and deletes those that are not needed. Returns `false` at the end of
    /// the table, and begins again then. Skips locked rows: several replicas may do the same.
    ///
    /// # Errors
    /// Returns the database's error.
    pub async fn delete_next(&mut self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let (created_at, id) = self.after;
        // Indexes: sync_job_created_at, channel_pkey, sync_job_pkey.
        let last: Option<(OffsetDateTime, Uuid, i64)> = sqlx::query_as(
            "WITH seen AS MATERIALIZED (
                 SELECT id, created_at FROM sync.sync_job
                 WHERE created_at < now() - interval '14 days' AND (created_at, id) > ($2, $3)
                 ORDER BY created_at, id LIMIT $1
             ), gone AS (
                 DELETE FROM sync.sync_job WHERE id IN (
                     SELECT j.id FROM seen JOIN sync.sync_job j ON j.id = seen.id
                     WHERE NOT EXISTS (SELECT FROM sync.channel c
                                       WHERE c.id = j.channel_id AND c.generation <= j.generation)
                     FOR UPDATE OF j SKIP LOCKED)
             )
             SELECT created_at, id, (SELECT count(*) FROM seen)
             FROM seen ORDER BY created_at DESC, id DESC LIMIT 1",
        )
        .bind(WINDOW)
        .bind(created_at)
        .bind(id)
        .fetch_optional(pool)
        .await?;
        let Some((created_at, id, WINDOW..)) = last else {
            *self = Self::default();
            return Ok(false);
        };
        self.after = (created_at, id);
        Ok(true)
    }

    pub(super) async fn run(mut self, pool: PgPool, stop: CancellationToken) {
        loop {
            let next = within(UNHURRIED, self.delete_next(&pool));
            let pause = match stop.run_until_cancelled(next).await {
                Some(Ok(true)) => PAUSE,
                Some(Ok(false)) => EVERY,
                Some(Err(error)) => {
                    tracing::warn!(%error, "old jobs were not deleted");
                    EVERY
                }
                None => return,
            };
            let slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            if slept.is_none() {
                return;
            }
        }
    }
}
