//! Jobs (`sync.sync_job`): each start of a channel has one.

use latchkey_domain::{ChannelId, JobId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// The job of a start of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// The channel.
    pub channel: ChannelId,
    /// The number of the start, from 1.
    pub generation: i32,
}

/// Stores jobs. Returns those that were stored: the others' start has its job already.
pub async fn insert(
    connection: &mut PgConnection,
    jobs: &[Job],
) -> Result<Vec<JobId>, sqlx::Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id.as_uuid()).collect();
    let channels: Vec<Uuid> = jobs.iter().map(|job| job.channel.as_uuid()).collect();
    let generations: Vec<i32> = jobs.iter().map(|job| job.generation).collect();
    let stored: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO sync.sync_job (id, channel_id, generation)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::integer[])
         ON CONFLICT DO NOTHING
         RETURNING id",
    )
    .bind(ids)
    .bind(channels)
    .bind(generations)
    .fetch_all(connection)
    .await?;
    Ok(stored.into_iter().map(JobId::from).collect())
}

/// Stores that the job of a start is queued again with the same id. Returns `false` if it
/// is not due. The wait doubles each time, from one hour to one day, so that a queue
/// without workers does not fill up.
pub async fn requeue(
    connection: &mut PgConnection,
    job: Job,
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
    .bind(job.id.as_uuid())
    .bind(job.channel.as_uuid())
    .bind(job.generation)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(repeated.rows_affected() == 1)
}
