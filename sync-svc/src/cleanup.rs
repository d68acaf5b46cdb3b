//! Which rows are deleted when they are no longer needed.

use latchkey_service::database::{PruneRule, prune, prune_once};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// Events that were applied. If one is delivered once more after that, the unique keys and the
/// merge of grants make it have no effect. Index: `inbox_received_at`.
pub const APPLIED_EVENTS: PruneRule = PruneRule {
    what: "applied events",
    statement: "DELETE FROM sync.inbox WHERE event_id IN (
             SELECT event_id FROM sync.inbox
             WHERE received_at < now() - interval '14 days'
             LIMIT $1 FOR UPDATE SKIP LOCKED)",
};

/// Jobs of earlier starts and of deleted channels, which are kept for investigations. The job of a
/// channel's last start stays: it may have to be queued again. Index: `sync_job_created_at`.
pub const EARLIER_JOBS: PruneRule = PruneRule {
    what: "jobs of earlier starts",
    statement: "DELETE FROM sync.sync_job WHERE id IN (
             SELECT j.id FROM sync.sync_job j
             WHERE j.created_at < now() - interval '14 days'
               AND NOT EXISTS (SELECT FROM sync.channel c
                               WHERE c.id = j.channel_id AND c.generation <= j.generation)
             LIMIT $1 FOR UPDATE OF j SKIP LOCKED)",
};

const RULES: [PruneRule; 2] = [APPLIED_EVENTS, EARLIER_JOBS];

/// Applies the rules every ten minutes until `stop` is cancelled.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    prune(pool, &RULES, stop).await;
}

/// Applies the rules once.
///
/// # Errors
/// Returns the database's error.
pub async fn run_once(pool: &PgPool) -> Result<(), sqlx::Error> {
    prune_once(pool, &RULES).await
}
