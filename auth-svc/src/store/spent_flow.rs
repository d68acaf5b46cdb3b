//! A flow is usable once: a unique key says so.

use sqlx::PgConnection;

use crate::login::flow::Flow;
use crate::store::StoreError;

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
