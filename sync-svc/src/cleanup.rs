//! Which rows are deleted when they are no longer needed.

mod earlier_jobs;

use latchkey_service::database::{PruneRule, Sweep as _, prune, prune_once};
use latchkey_service::prune_statement;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub use earlier_jobs::EarlierJobs;

/// Events that were applied. If one is delivered once more after that, the unique keys and the
/// merge of grants make it have no effect. Index: `inbox_received_at`.
pub const APPLIED_EVENTS: PruneRule = PruneRule {
    what: "applied events",
    statement: prune_statement!(
        "DELETE FROM sync.inbox WHERE event_id IN (
             SELECT event_id FROM sync.inbox
             WHERE received_at < now() - interval '14 days'"
    ),
};

const RULES: [PruneRule; 1] = [APPLIED_EVENTS];

/// Deletes old rows until `stop` is cancelled.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    tokio::join!(
        prune(pool.clone(), &RULES, stop.clone()),
        EarlierJobs::default().run(pool, stop),
    );
}

/// Deletes all old rows once.
///
/// # Errors
/// Returns the database's error.
pub async fn run_once(pool: &PgPool) -> Result<(), sqlx::Error> {
    prune_once(pool, &RULES).await?;
    EarlierJobs::default().run_once(pool).await
}
