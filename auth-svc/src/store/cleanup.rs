//! Deletes rows that are no longer needed, in batches, so that each statement locks few
//! rows and ends soon.

use std::time::Duration;

use latchkey_service::database::{UNHURRIED, within};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_mins(10);

/// Maximum number of rows that one statement deletes from its table.
const BATCH: i64 = 500;

/// Maximum number of batches of one rule in a round. The next round deletes the rest.
const BATCHES: usize = 200;

/// The rules. Each statement deletes (or, of ID tokens, erases) at most `$1` rows and skips locked rows. The margins
/// are longer than any difference between clocks.
const RULES: [(&str, &str); 11] = [
    (
        "logout tokens",
        "DELETE FROM auth.logout_token WHERE (provider, issuer, token_id) IN (
             SELECT provider, issuer, token_id FROM auth.logout_token
             WHERE expires_at < now() - interval '1 hour'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
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
        // Invitations are listed for 30 days after they were used, revoked or expired.
        "invitations",
        "DELETE FROM auth.personal_invite WHERE token_hash IN (
             SELECT token_hash FROM auth.personal_invite
             WHERE least(used_at, revoked_at, expires_at) < now() - interval '30 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // A used token is kept until it would have expired, so that its reuse is detected.
        // A family is kept as long as one of its tokens.
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
        // The tokens of an ended family are not accepted any more. The week lets an
        // operator explain a sign-out.
        "ended refresh families",
        "DELETE FROM auth.refresh_family WHERE id IN (
             SELECT id FROM auth.refresh_family
             WHERE ended_at < now() - interval '7 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // Those of sessions that were signed out of are erased at once, by a trigger.
        "ID tokens of expired and idle sessions",
        "UPDATE auth.session SET sealed_id_token = NULL WHERE id IN (
             SELECT id FROM auth.session s
             WHERE s.sealed_id_token IS NOT NULL
               AND (s.expires_at < now()
                    OR (s.last_seen_at < now() - s.idle_for
                        AND NOT EXISTS (SELECT FROM auth.refresh_family f
                                        WHERE f.session_id = s.id AND f.ended_at IS NULL)))
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // Deletes their families and tokens too.
        "ended sessions",
        "DELETE FROM auth.session WHERE id IN (
             SELECT id FROM auth.session
             WHERE least(expires_at, revoked_at) < now() - interval '7 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        // An idle session cannot be used any more by its cookie or by a refresh token.
        "idle sessions",
        "DELETE FROM auth.session WHERE id IN (
             SELECT id FROM auth.session s
             WHERE s.last_seen_at < now() - s.idle_for - interval '7 days'
               AND NOT EXISTS (SELECT FROM auth.refresh_family f
                               WHERE f.session_id = s.id AND f.ended_at IS NULL)
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
];

/// Runs a round every ten minutes until `stop` is cancelled.
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

/// Runs one round.
///
/// # Errors
/// Returns the database's error.
pub async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    for (what, delete) in RULES {
        for batch in 1..=BATCHES {
            let deleted = sqlx::query(delete).bind(BATCH).execute(pool);
            let deleted = within(UNHURRIED, deleted).await?.rows_affected();
            if deleted < BATCH.unsigned_abs() {
                break;
            }
            if batch == BATCHES {
                tracing::warn!(what, "one round did not delete all old rows");
            }
        }
    }
    Ok(())
}
