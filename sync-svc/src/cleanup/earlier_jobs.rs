//! Deletes the jobs of earlier starts and of deleted channels, which are kept for 14 days for
//! investigations. The job of a channel's last start stays, however old: it may have to be queued
//! again.

use latchkey_service::database::{SWEEP_WINDOW, Sweep};
use latchkey_service::sweep_window;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

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

impl Sweep for EarlierJobs {
    fn what(&self) -> &'static str {
        "jobs of earlier starts"
    }

    async fn delete_next(&mut self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let (created_at, id) = self.after;
        // Indexes: sync_job_created_at, channel_pkey, sync_job_pkey.
        let last: Option<(OffsetDateTime, Uuid, i64)> = sqlx::query_as(concat!(
            "WITH seen AS MATERIALIZED (
                 SELECT id, created_at FROM sync.sync_job
                 WHERE created_at < now() - interval '14 days' AND (created_at, id) > ($1, $2)
                 ORDER BY created_at, id LIMIT ",
            sweep_window!(),
            "
             ), gone AS (
                 DELETE FROM sync.sync_job WHERE id IN (
                     SELECT j.id FROM seen JOIN sync.sync_job j ON j.id = seen.id
                     WHERE NOT EXISTS (SELECT FROM sync.channel c
                                       WHERE c.id = j.channel_id AND c.generation <= j.generation)
                     FOR UPDATE OF j SKIP LOCKED)
             )
             SELECT created_at, id, (SELECT count(*) FROM seen)
             FROM seen ORDER BY created_at DESC, id DESC LIMIT 1"
        ))
        .bind(created_at)
        .bind(id)
        .fetch_optional(pool)
        .await?;
        let Some((created_at, id, SWEEP_WINDOW..)) = last else {
            *self = Self::default();
            return Ok(false);
        };
        self.after = (created_at, id);
        Ok(true)
    }
}
