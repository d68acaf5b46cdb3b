//! Makes sure that a flow is used once.

use sqlx::{PgConnection, PgExecutor};

use crate::login::flow::Flow;
use crate::login::outcome::SignInError;
use crate::store::used_flow;

/// Refuses a flow that was used, before its code is sent to the provider again. A provider
/// treats the second use of a code as theft and may revoke the tokens of the first use (RFC
/// 6749 section 4.1.2). This also detects that the database is not available while the code
/// is still unused.
///
/// # Errors
/// Returns an error if the flow was used, or the database fails.
pub async fn refuse_used(executor: impl PgExecutor<'_>, flow: &Flow) -> Result<(), SignInError> {
    if used_flow::is_used(executor, flow.id).await? {
        Err(SignInError::Replayed)
    } else {
        Ok(())
    }
}

/// Marks the flow as used in the caller's transaction.
///
/// # Errors
/// Returns an error if the flow was used, or the database fails.
pub async fn mark_used(connection: &mut PgConnection, flow: &Flow) -> Result<(), SignInError> {
    if used_flow::mark_used(connection, flow.id, flow.expiry()).await? {
        Ok(())
    } else {
        Err(SignInError::Replayed)
    }
}
