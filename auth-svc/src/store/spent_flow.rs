//! A flow is usable once: a unique key says so.

use sqlx::{PgConnection, PgExecutor};

use crate::login::flow::Flow;
use crate::store::StoreError;

/// Refuses a flow that was finished, before its code is sent to the provider
/// once more: a provider takes a code's second use for theft and may revoke what
/// the first one gave (RFC 6749 section 4.1.2). It also finds out that the
/// database is away while the code is still good.
///
/// # Errors
/// It was spent before, or the database refused.
pub async fn refuse_spent(executor: impl PgExecutor<'_>, flow: &Flow) -> Result<(), StoreError> {
    let (spent,): (bool,) =
        sqlx::query_as("SELECT EXISTS (SELECT FROM auth.spent_flow WHERE flow_id = $1)")
            .bind(flow.id.as_uuid())
            .fetch_one(executor)
            .await?;
    if spent {
        Err(StoreError::Replayed)
    } else {
        Ok(())
    }
}

/// Spends the flow in the caller's transaction.
///
/// # Errors
/// It was spent before.
pub async fn spend(connection: &mut PgConnection, flow: &Flow) -> Result<(), StoreError> {
    let spent = sqlx::query(
        "INSERT INTO auth.spent_flow (flow_id, expires_at)
         VALUES ($1, $2)
         ON CONFLICT (flow_id) DO NOTHING",
    )
    .bind(flow.id.as_uuid())
    .bind(flow.expiry())
    .execute(connection)
    .await?;
    if spent.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::Replayed)
    }
}
