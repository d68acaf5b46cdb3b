//! Which rows are deleted when they are no longer needed.

mod sweeps;

use latchkey_service::database::{PruneRule, Sweep as _, prune, prune_once};
use latchkey_service::prune_statement;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use sweeps::SWEEPS;

/// The rules, in the order in which they are applied.
const RULES: [PruneRule; 9] = [
    PruneRule {
        what: "logout tokens",
        statement: prune_statement!(
            "DELETE FROM auth.logout_token WHERE (provider, issuer, token_id) IN (
             SELECT provider, issuer, token_id FROM auth.logout_token
             WHERE expires_at < now() - interval '1 hour'"
        ),
    },
    PruneRule {
        what: "spent flows",
        statement: prune_statement!(
            "DELETE FROM auth.spent_flow WHERE flow_id IN (
             SELECT flow_id FROM auth.spent_flow
             WHERE expires_at < now() - interval '1 hour'"
        ),
    },
    PruneRule {
        what: "domain claims",
        statement: prune_statement!(
            "DELETE FROM auth.domain_claim WHERE (workspace_id, purpose, domain) IN (
             SELECT workspace_id, purpose, domain FROM auth.domain_claim
             WHERE expires_at < now()"
        ),
    },
    PruneRule {
        what: "hand-over codes",
        statement: prune_statement!(
            "DELETE FROM auth.handover_code WHERE code_hash IN (
             SELECT code_hash FROM auth.handover_code
             WHERE expires_at < now() - interval '1 hour'"
        ),
    },
    PruneRule {
        // Invitations are listed for 30 days after they were used, revoked or expired. Index:
        // personal_invite_ended_at.
        what: "invitations",
        statement: prune_statement!(
            "DELETE FROM auth.personal_invite WHERE token_hash IN (
             SELECT token_hash FROM auth.personal_invite
             WHERE least(used_at, revoked_at, expires_at) < now() - interval '30 days'"
        ),
    },
    PruneRule {
        // A used token is kept until it would have expired, so that its reuse is detected.
        what: "refresh tokens",
        statement: prune_statement!(
            "DELETE FROM auth.refresh_token WHERE token_hash IN (
             SELECT token_hash FROM auth.refresh_token
             WHERE expires_at < now() - interval '1 day'"
        ),
    },
    PruneRule {
        // The tokens of an ended family are not accepted any more. The week lets an
        // operator explain a sign-out. Index: refresh_family_ended_at.
        what: "ended refresh families",
        statement: prune_statement!(
            "DELETE FROM auth.refresh_family WHERE id IN (
             SELECT id FROM auth.refresh_family
             WHERE ended_at < now() - interval '7 days'"
        ),
    },
    PruneRule {
        // Those of sessions that were signed out of are erased at once, by a trigger. Index:
        // session_sealed_id_token.
        what: "ID tokens of expired sessions",
        statement: prune_statement!(
            "UPDATE auth.session SET sealed_id_token = NULL WHERE id IN (
             SELECT id FROM auth.session
             WHERE sealed_id_token IS NOT NULL AND expires_at < now()"
        ),
    },
    PruneRule {
        // Deletes their families and tokens too. Indexes: session_expires_at, session_revoked_at.
        what: "ended sessions",
        statement: prune_statement!(
            "DELETE FROM auth.session WHERE id IN (
             SELECT id FROM auth.session
             WHERE expires_at < now() - interval '7 days'
                OR revoked_at < now() - interval '7 days'"
        ),
    },
];

/// Deletes old rows until `stop` is cancelled.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    let [sessions, id_tokens, families] = SWEEPS.map(|sweep| sweep.run(pool.clone(), stop.clone()));
    let rules = prune(pool.clone(), &RULES, stop.clone());
    tokio::join!(rules, sessions, id_tokens, families);
}

/// Deletes all old rows once.
///
/// # Errors
/// Returns the database's error.
pub async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    prune_once(pool, &RULES).await?;
    for sweep in SWEEPS {
        sweep.run_once(pool).await?;
    }
    Ok(())
}
