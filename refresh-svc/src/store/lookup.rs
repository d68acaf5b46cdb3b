//! Lookup of accounts by handle, and of what a policy needs of them.

use latchkey_domain::{AccountId, Handle, ProviderName, WorkspaceId};
use uuid::Uuid;

use super::{PolicyAttributes, Priority, STATEMENT, Store, StoreError, within};

/// The accounts that a workspace, a provider and a handle identify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleMatch {
    /// No account.
    NotFound,
    /// Exactly one account.
    One(AccountId),
    /// Living accounts of several owners. A handle is only a label, so none of them is
    /// answered.
    Ambiguous,
}

impl Store {
    /// Finds an account by its handle, if the handle is vouched for: an account that
    /// merely displays an address is not found by it. A living account precedes a dead
    /// one, which precedes an erased one.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn resolve_handle(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
        handle: &Handle,
    ) -> Result<HandleMatch, StoreError> {
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
        let mut held = self.connections.acquire(Priority::Fair).await?;
        let rows = within(STATEMENT, query.fetch_all(held.connection()?)).await;
        let rows: Vec<(Uuid, bool)> = held.finish(rows)?;
        Ok(match rows.as_slice() {
            [] => HandleMatch::NotFound,
            [_, (_, true)] => HandleMatch::Ambiguous,
            [(account, _), ..] => HandleMatch::One((*account).into()),
        })
    }

    /// Reads the attributes of an account. The statement returns one row whether or not
    /// the account exists.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn policy_attributes(
        &self,
        account: AccountId,
    ) -> Result<Option<PolicyAttributes>, StoreError> {
        self.attributes
            .execute(&self.connections, account, ())
            .await
    }
}
