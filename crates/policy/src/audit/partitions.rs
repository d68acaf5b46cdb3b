//! The partitions of `vault.audit`, one for each week
//! ([decision 37](../../../../docs/decisions/0037-the-audit-of-tokens-is-partitioned.md)).

use std::time::Duration;

use latchkey_service::database::{UNHURRIED, within};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// The time between two looks. Partitions are created five weeks ahead.
const EVERY: Duration = Duration::from_hours(6);

/// The same after a failure.
const RETRY_DELAY: Duration = Duration::from_mins(5);

/// Creates the partitions of the next weeks, now and again every six hours, until `stop` is
/// cancelled. Several replicas may do so at the same time. While a partition is missing, its
/// records go to the default partition.
pub async fn prepare_partitions(pool: PgPool, stop: CancellationToken) {
    loop {
        let created = within(UNHURRIED, create_missing(&pool));
        let Some(created) = stop.run_until_cancelled(created).await else {
            return;
        };
        let pause = match created {
            Ok(created) => {
                if created > 0 {
                    tracing::info!(created, "partitions of the audit were created ahead");
                }
                EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "partitions of the audit were not created ahead; tried again");
                RETRY_DELAY
            }
        };
        let slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        if slept.is_none() {
            return;
        }
    }
}

async fn create_missing(pool: &PgPool) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT vault.audit_prepare()")
        .fetch_one(pool)
        .await
}
