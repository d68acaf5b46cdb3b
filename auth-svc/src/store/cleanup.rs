//! Takes away what has no use any more, in batches: a statement locks few rows and
//! ends soon, however much is over.

use std::time::Duration;

use latchkey_service::database::{UNHURRIED, within};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_mins(10);

/// Rows that one statement deletes of its own table.
const BATCH: i64 = 500;

/// Batches of one rule in a round; what is left waits for the next one.
const BATCHES: usize = 200;

/// What is over. Each deletes at most `$1` rows, and waits for none that somebody
/// else holds. The margins outlast any difference of clocks.
const RULES: [(&str, &str); 9] = [
    (
        "spent flows",
        "DELETE FROM auth.spent_flow WHERE flow_id IN (
             SELECT flow_id FROM auth.spent_flow
             WHERE expires_at < now() - interval '1 hour'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        "domain claims",
        "DELETE FROM auth.domain_claim WHERE (workspace_id, purpose, domain) IN (
             SELECT workspace_id, purpose, domain FROM auth.domain_claim
             WHERE expires_at < now()
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        "hand-over codes",
        "DELETE FROM auth.handover_code WHERE code_hash IN (
             SELECT code_hash FROM auth.handover_code
             WHERE expires_at < now() - interval '1 hour'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // They are listed for a month after they were used, withdrawn or over.
        "invitations",
        "DELETE FROM auth.personal_invite WHERE token_hash IN (
             SELECT token_hash FROM auth.personal_invite
             WHERE least(used_at, revoked_at, expires_at) < now() - interval '30 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // A spent token is kept until it would have expired, to know it when it
        // comes again; a family is kept as long as one of its tokens.
        "refresh tokens",
        "DELETE FROM auth.refresh_token WHERE token_hash IN (
             SELECT token_hash FROM auth.refresh_token
             WHERE expires_at < now() - interval '1 day'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        "refresh families",
        "DELETE FROM auth.refresh_family WHERE id IN (
             SELECT id FROM auth.refresh_family f
             WHERE f.created_at < now() - interval '1 day'
               AND NOT EXISTS (SELECT FROM auth.refresh_token t WHERE t.family_id = f.id)
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // No token of theirs is taken any more. A week explains a sign-out that
        // somebody asks about.
        "ended refresh families",
        "DELETE FROM auth.refresh_family WHERE id IN (
             SELECT id FROM auth.refresh_family
             WHERE ended_at < now() - interval '7 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // With their families and tokens.
        "ended sessions",
        "DELETE FROM auth.session WHERE id IN (
             SELECT id FROM auth.session
             WHERE least(expires_at, revoked_at) < now() - interval '7 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // Idle for good: no cookie and no refresh token opens them any more.
        "idle sessions",
        "DELETE FROM auth.session WHERE id IN (
             SELECT id FROM auth.session s
             WHERE s.last_seen_at < now() - s.idle_for - interval '7 days'
               AND NOT EXISTS (SELECT FROM auth.refresh_family f
                               WHERE f.session_id = s.id AND f.ended_at IS NULL)
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
];

/// Deletes flows and codes that are expired for an hour, refresh tokens that are
/// expired for a day, sessions that ended a week ago and invitations that were over a
/// month ago, until `stop` is cancelled.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        if let Some(Err(error)) = stop.run_until_cancelled(sweep(&pool)).await {
            tracing::warn!(%error, "old flows and sessions were not deleted");
        }
    }
}

/// One round.
///
/// # Errors
/// The database's refusal.
pub async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    for (what, delete) in RULES {
        for batch in 1..=BATCHES {
            let deleted = sqlx::query(delete).bind(BATCH).execute(pool);
            let deleted = within(UNHURRIED, deleted).await?.rows_affected();
            if deleted < BATCH.unsigned_abs() {
                break;
            }
            if batch == BATCHES {
                tracing::warn!(what, "more is over than one round deletes");
            }
        }
    }
    Ok(())
}
