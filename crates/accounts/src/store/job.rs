//! Jobs (`sync.sync_job`): each start of a channel has one.

use latchkey_domain::{ChannelId, JobId};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

/// Stores a job. Returns `false` if this start has its job already.
pub async fn insert(
    connection: &mut PgConnection,
    job: JobId,
    channel: ChannelId,
    generation: i32,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO sync.sync_job (id, channel_id, generation)
         VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind(job.as_uuid())
    .bind(channel.as_uuid())
    .bind(generation)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Stores that the job of a start is queued again with the same id. Returns `false` if it
/// is not due. The wait doubles each time, from one hour to one day, so that a queue
/// without workers does not fill up.
pub async fn requeue(
    connection: &mut PgConnection,
    job: JobId,
    channel: ChannelId,
    generation: i32,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let repeated = sqlx::query(
        "INSERT INTO sync.sync_job AS j (id, channel_id, generation, repeat_at)
         VALUES ($1, $2, $3, $4 + interval '1 hour')
         ON CONFLICT (channel_id, generation) DO UPDATE
            SET times_queued = j.times_queued + 1,
                repeat_at = $4 + least(interval '1 hour' * power(2, least(j.times_queued, 10)),
                                       interval '1 day')
          WHERE j.repeat_at <= $4",
    )
    .bind(job.as_uuid())
    .bind(channel.as_uuid())
    .bind(generation)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(repeated.rows_affected() == 1)
}

/// Most jobs that are deleted by one statement.
const BATCH: i64 = 10_000;

/// Deletes at most `BATCH` jobs that were created before `before` and belong to an
/// earlier start or to a deleted channel. The job of a channel's last start stays: it may
/// have to be queued again.
pub async fn delete_old(pool: &PgPool, before: OffsetDateTime) -> Result<u64, sqlx::Error> {
    let forgotten = sqlx::query(
        "DELETE FROM sync.sync_job WHERE id IN (
             SELECT j.id FROM sync.sync_job j
             WHERE j.created_at < $1
               AND NOT EXISTS (SELECT FROM sync.channel c
                               WHERE c.id = j.channel_id AND c.generation <= j.generation)
             LIMIT $2)",
    )
    .bind(before)
    .bind(BATCH)
    .execute(pool)
    .await?;
    Ok(forgotten.rows_affected())
}

/// Runs [`delete_old`] until nothing is left to delete. Returns the number of jobs.
pub async fn delete_all_old(pool: &PgPool, before: OffsetDateTime) -> Result<u64, sqlx::Error> {
    let mut forgotten = 0;
    loop {
        let batch = delete_old(pool, before).await?;
        forgotten += batch;
        if batch < BATCH.unsigned_abs() {
            return Ok(forgotten);
        }
    }
}
