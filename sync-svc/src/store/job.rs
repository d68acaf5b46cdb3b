//! First jobs of a channel's start.

use latchkey_domain::{ChannelId, JobId};
use sqlx::PgConnection;

/// Notes a job; false where this start has its job already.
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
