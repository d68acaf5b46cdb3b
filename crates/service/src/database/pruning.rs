//! Deletes rows that are no longer needed in bounded batches: each statement locks few rows and
//! ends soon, and others get the disk and their locks between two of them.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::time_limit::{UNHURRIED, within};

/// [`PRUNE_BATCH`] as a part of a statement. The planner has to know the number: for a parameter it
/// assumes a tenth of the table, and reads the whole table to find so many rows.
#[macro_export]
macro_rules! prune_batch {
    () => {
        500
    };
}

/// Ends a statement that deletes (or erases) the rows of a subquery, such as `DELETE FROM auth.session
/// WHERE id IN (SELECT id FROM auth.session WHERE …`: at most [`PRUNE_BATCH`] rows.
#[macro_export]
macro_rules! prune_statement {
    ($beginning:literal) => {
        concat!(
            $beginning,
            " LIMIT ",
            $crate::prune_batch!(),
            " FOR UPDATE SKIP LOCKED)"
        )
    };
}

/// Maximum number of rows that a statement of a [`PruneRule`] deletes.
pub const PRUNE_BATCH: i64 = prune_batch!();

/// Maximum number of audit records that one transaction deletes.
const AUDIT_BATCH: i64 = 20_000;

/// The pause between two batches.
const PAUSE: Duration = Duration::from_millis(10);

/// A rule begins no further batch after this time in a round. The next round deletes the rest.
const ROUND: Duration = Duration::from_mins(2);

/// The time between two rounds.
const EVERY: Duration = Duration::from_mins(10);

/// Which rows of a table are deleted.
#[derive(Debug, Clone, Copy)]
pub struct PruneRule {
    /// What is deleted, for the log.
    pub what: &'static str,
    /// A [`prune_statement!`](crate::prune_statement). It skips rows that are locked: several replicas
    /// may apply a rule at the same time. The age in it is longer than any difference between clocks.
    pub statement: &'static str,
}

impl PruneRule {
    /// Deletes one batch, at most [`PRUNE_BATCH`] rows. Returns the number of rows.
    ///
    /// # Errors
    /// Returns the database's error.
    pub async fn delete_batch(&self, pool: &PgPool) -> Result<u64, sqlx::Error> {
        let deleted = sqlx::query(self.statement).execute(pool);
        Ok(within(UNHURRIED, deleted).await?.rows_affected())
    }

    async fn apply(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let end = Instant::now() + ROUND;
        while self.delete_batch(pool).await? >= PRUNE_BATCH.unsigned_abs() {
            if Instant::now() >= end {
                tracing::warn!(
                    what = self.what,
                    "one round did not delete all old rows; the next one goes on"
                );
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Applies each rule until no old row is left. A rule that fails is logged, and the others are
/// applied nevertheless.
///
/// # Errors
/// Returns the error of the last rule that failed.
pub async fn prune_once(pool: &PgPool, rules: &[PruneRule]) -> Result<(), sqlx::Error> {
    let mut outcome = Ok(());
    for rule in rules {
        if let Err(error) = rule.apply(pool).await {
            tracing::warn!(what = rule.what, %error, "old rows were not deleted");
            outcome = Err(error);
        }
    }
    outcome
}

/// Applies the rules every ten minutes until `stop` is cancelled.
pub async fn prune(pool: PgPool, rules: &[PruneRule], stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        // What failed is in the log.
        let _ = stop.run_until_cancelled(prune_once(&pool, rules)).await;
    }
}

/// Deletes the audit records that are older than `keep`, each batch in a transaction of its own.
/// `statement` calls the function of the audit table with `keep` in seconds (`$1`) and the number
/// of records (`$2`). Only the role `latchkey_operator` may call it. Returns the number of records.
///
/// # Errors
/// `keep` is less than 30 days, the role may not, or the database failed. What earlier batches
/// deleted stays deleted.
pub async fn prune_audit(
    pool: &PgPool,
    statement: &'static str,
    keep: Duration,
) -> Result<i64, sqlx::Error> {
    let mut pruned = 0;
    loop {
        let batch: i64 = sqlx::query_scalar(statement)
            .bind(keep.as_secs_f64())
            .bind(AUDIT_BATCH)
            .fetch_one(pool)
            .await?;
        pruned += batch;
        if batch < AUDIT_BATCH {
            return Ok(pruned);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
