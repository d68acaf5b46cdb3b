//! Takes away what has no use any more.

use std::time::Duration;

use latchkey_service::database::{UNHURRIED, within};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_mins(10);

/// Deletes flows and codes that are expired for an hour, refresh tokens that are
/// expired for a day and sessions that ended a week ago, until `stop` is cancelled.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = within(UNHURRIED, sweep(&pool)).await {
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
    sqlx::query("DELETE FROM auth.domain_claim WHERE expires_at < now()")
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM auth.handover_code WHERE expires_at < now() - interval '1 hour'")
        .execute(pool)
        .await?;
    // With their families and tokens. Ended ones stay a week: they explain a
    // sign-out that somebody asks about.
    sqlx::query(
        "DELETE FROM auth.session
         WHERE least(expires_at, revoked_at) < now() - interval '7 days'",
    )
    .execute(pool)
    .await?;
    // A spent token is kept until it would have expired, to know it when it
    // comes again; a family is kept as long as one of its tokens.
    sqlx::query("DELETE FROM auth.refresh_token WHERE expires_at < now() - interval '1 day'")
        .execute(pool)
        .await?;
    sqlx::query(
        "DELETE FROM auth.refresh_family f
         WHERE f.created_at < now() - interval '1 day'
           AND NOT EXISTS (SELECT FROM auth.refresh_token t WHERE t.family_id = f.id)",
    )
    .execute(pool)
    .await?;
    // Idle for good: no cookie and no refresh token opens it any more.
    sqlx::query(
        "DELETE FROM auth.session s
         WHERE s.last_seen_at < now() - s.idle_for - interval '7 days'
           AND NOT EXISTS (SELECT FROM auth.refresh_family f
                           WHERE f.session_id = s.id AND f.ended_at IS NULL)",
    )
    .execute(pool)
    .await?;
    Ok(())
}
