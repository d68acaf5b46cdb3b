//! An account by where it lives.

use latchkey_domain::{AccountId, Handle, ProviderName, WorkspaceId};
use uuid::Uuid;

use super::{Queue, STATEMENT, Store, StoreError, within};

/// What a workspace, a provider and a handle lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No account.
    Nothing,
    /// This account.
    One(AccountId),
    /// Several owners' living accounts: a handle is a label, and none of them
    /// may be answered for another.
    Several,
}

impl Store {
    /// Finds an account by its handle, if somebody vouches that the handle is its
    /// owner's: whoever connects an account that merely shows an address is not
    /// found by it. A living one before a dead one, an erased one last.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
        handle: &Handle,
    ) -> Result<Found, StoreError> {
        // Index credential_vouched_handle.
        let query = sqlx::query_as(
            "SELECT account_id, auth_failed_at IS NULL AND erased_at IS NULL AS alive
             FROM vault.credential
             WHERE workspace_id = $1 AND provider = $2 AND vouched_handle = $3
               AND lower(handle) = vouched_handle
             ORDER BY alive DESC, (erased_at IS NULL) DESC, authenticated_at DESC
             LIMIT 2",
        )
        .bind(workspace.as_uuid())
        .bind(provider.as_str())
        .bind(handle.as_str());
        let mut held = self.connections.take(Queue::InTurn).await?;
        let rows = within(STATEMENT, query.fetch_all(held.connection()?)).await;
        let rows: Vec<(Uuid, bool)> = held.end(rows)?;
        Ok(match rows.as_slice() {
            [] => Found::Nothing,
            [_, (_, true)] => Found::Several,
            [(account, _), ..] => Found::One((*account).into()),
        })
    }
}
