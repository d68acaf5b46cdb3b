//! Flows that were completed. A unique key makes sure that each flow is used once.

use latchkey_domain::FlowId;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

/// Returns `true` if the flow was used.
///
/// # Errors
/// Returns the database's error.
pub async fn is_used(executor: impl PgExecutor<'_>, flow: FlowId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM auth.spent_flow WHERE flow_id = $1)")
        .bind(flow.as_uuid())
        .fetch_one(executor)
        .await
}

/// Marks the flow as used in the caller's transaction. Returns `false` if it was used
/// before.
///
/// # Errors
/// Returns the database's error.
pub async fn mark_used(
    connection: &mut PgConnection,
    flow: FlowId,
    expires_at: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let marked = sqlx::query(
        "INSERT INTO auth.spent_flow (flow_id, expires_at)
         VALUES ($1, $2)
         ON CONFLICT (flow_id) DO NOTHING",
    )
    .bind(flow.as_uuid())
    .bind(expires_at)
    .execute(connection)
    .await?;
    Ok(marked.rows_affected() == 1)
}
