//! Takes away what has no use any more.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_mins(10);

/// Deletes flows that are expired for an hour and sessions that ended a week
/// ago, until `stop` is cancelled.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = sweep(&pool).await {
            tracing::warn!(%error, "old flows and sessions were not deleted");
        }
    }
}

/// One round.
///
/// # Errors
/// The database's refusal.
pub async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    // The margin outlasts any difference of clocks.
    sqlx::query("DELETE FROM auth.spent_flow WHERE expires_at < now() - interval '1 hour'")
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM auth.session WHERE expires_at < now() - interval '7 days'")
        .execute(pool)
        .await?;
    Ok(())
}
