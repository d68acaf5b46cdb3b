//! A flow is usable once: a unique key says so.

use sqlx::{PgConnection, PgExecutor};

use crate::login::flow::Flow;
use crate::login::outcome::StoreError;
use crate::store::used_flow;

/// Refuses a flow that was finished, before its code is sent to the provider
/// once more: a provider takes a code's second use for theft and may revoke what
/// the first one gave (RFC 6749 section 4.1.2). It also finds out that the
/// database is away while the code is still good.
///
/// # Errors
/// It was spent before, or the database refused.
pub async fn refuse_spent(executor: impl PgExecutor<'_>, flow: &Flow) -> Result<(), StoreError> {
    if used_flow::is_used(executor, flow.id).await? {
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
    if used_flow::mark_used(connection, flow.id, flow.expiry()).await? {
        Ok(())
    } else {
        Err(StoreError::Replayed)
    }
}
