//! Which rows are deleted when they are no longer needed.

use latchkey_service::database::{PruneRule, prune, prune_once};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// The rules, in the order in which they are applied.
const RULES: [PruneRule; 11] = [
    PruneRule {
        what: "logout tokens",
        statement: "DELETE FROM auth.logout_token WHERE (provider, issuer, token_id) IN (
             SELECT provider, issuer, token_id FROM auth.logout_token
             WHERE expires_at < now() - interval '1 hour'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        what: "spent flows",
        statement: "DELETE FROM auth.spent_flow WHERE flow_id IN (
             SELECT flow_id FROM auth.spent_flow
             WHERE expires_at < now() - interval '1 hour'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        what: "domain claims",
        statement: "DELETE FROM auth.domain_claim WHERE (workspace_id, purpose, domain) IN (
             SELECT workspace_id, purpose, domain FROM auth.domain_claim
             WHERE expires_at < now()
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        what: "hand-over codes",
        statement: "DELETE FROM auth.handover_code WHERE code_hash IN (
             SELECT code_hash FROM auth.handover_code
             WHERE expires_at < now() - interval '1 hour'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        // Invitations are listed for 30 days after they were used, revoked or expired.
        what: "invitations",
        statement: "DELETE FROM auth.personal_invite WHERE token_hash IN (
             SELECT token_hash FROM auth.personal_invite
             WHERE least(used_at, revoked_at, expires_at) < now() - interval '30 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        // A used token is kept until it would have expired, so that its reuse is detected.
        // A family is kept as long as one of its tokens.
        what: "refresh tokens",
        statement: "DELETE FROM auth.refresh_token WHERE token_hash IN (
             SELECT token_hash FROM auth.refresh_token
             WHERE expires_at < now() - interval '1 day'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        what: "refresh families",
        statement: "DELETE FROM auth.refresh_family WHERE id IN (
             SELECT id FROM auth.refresh_family f
             WHERE f.created_at < now() - interval '1 day'
               AND NOT EXISTS (SELECT FROM auth.refresh_token t WHERE t.family_id = f.id)
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        // The tokens of an ended family are not accepted any more. The week lets an
        // operator explain a sign-out.
        what: "ended refresh families",
        statement: "DELETE FROM auth.refresh_family WHERE id IN (
             SELECT id FROM auth.refresh_family
             WHERE ended_at < now() - interval '7 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        // Those of sessions that were signed out of are erased at once, by a trigger.
        what: "ID tokens of expired and idle sessions",
        statement: "UPDATE auth.session SET sealed_id_token = NULL WHERE id IN (
             SELECT id FROM auth.session s
             WHERE s.sealed_id_token IS NOT NULL
               AND (s.expires_at < now()
                    OR (s.last_seen_at < now() - s.idle_for
                        AND NOT EXISTS (SELECT FROM auth.refresh_family f
                                        WHERE f.session_id = s.id AND f.ended_at IS NULL)))
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        // Deletes their families and tokens too. Indexes: session_expires_at, session_revoked_at.
        what: "ended sessions",
        statement: "DELETE FROM auth.session WHERE id IN (
             SELECT id FROM auth.session
             WHERE expires_at < now() - interval '7 days'
                OR revoked_at < now() - interval '7 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
    PruneRule {
        // An idle session cannot be used any more by its cookie or by a refresh token.
        what: "idle sessions",
        statement: "DELETE FROM auth.session WHERE id IN (
             SELECT id FROM auth.session s
             WHERE s.last_seen_at < now() - s.idle_for - interval '7 days'
               AND NOT EXISTS (SELECT FROM auth.refresh_family f
                               WHERE f.session_id = s.id AND f.ended_at IS NULL)
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
    },
];

/// Applies the rules every ten minutes until `stop` is cancelled.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    prune(pool, &RULES, stop).await;
}

/// Applies the rules once.
///
/// # Errors
/// Returns the database's error.
pub async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    prune_once(pool, &RULES).await
}
