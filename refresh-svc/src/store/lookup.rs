//! An account by where it lives.

use std::sync::Arc;

use latchkey_domain::{AccountId, Handle, ProviderName, ScopeSet, WorkspaceId};
use uuid::Uuid;

use super::{Priority, STATEMENT, Store, StoreError, within};

/// What a workspace, a provider and a handle lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleMatch {
    /// No account.
    NotFound,
    /// This account.
    One(AccountId),
    /// Several owners' living accounts: a handle is a label, and none of them
    /// may be answered for another.
    Ambiguous,
}

/// What a policy asks of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAttributes {
    /// Where it is.
    pub workspace: WorkspaceId,
    /// Provider of the grant.
    pub provider: ProviderName,
    /// Scopes of the grant.
    pub granted_scopes: Arc<ScopeSet>,
}

/// Absent where there is no such account.
type Row = (Option<Uuid>, Option<String>, Option<Vec<String>>);

impl Store {
    /// Finds an account by its handle, if somebody vouches that the handle is its
    /// owner's: whoever connects an account that merely shows an address is not
    /// found by it. A living one before a dead one, an erased one last.
    ///
    /// # Errors
    /// The database does not answer.
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

    /// Reads the attributes of an account. One statement that answers one row,
    /// whether or not there is such an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn policy_attributes(
        &self,
        account: AccountId,
    ) -> Result<Option<PolicyAttributes>, StoreError> {
        let query = sqlx::query_as(
            "SELECT credential.workspace_id, credential.provider, credential.granted_scopes
             FROM (VALUES ($1::uuid)) AS asked (id)
             LEFT JOIN vault.credential ON credential.account_id = asked.id",
        )
        .bind(account.as_uuid());
        let mut held = self.connections.acquire(Priority::Fair).await?;
        let row = within(STATEMENT, query.fetch_one(held.connection()?)).await;
        let row: Row = held.finish(row)?;
        let (Some(workspace), Some(provider), Some(scopes)) = row else {
            return Ok(None);
        };
        let provider = provider.parse().map_err(|error| StoreError::Unreadable {
            account,
            problem: format!("{error}"),
        })?;
        Ok(Some(PolicyAttributes {
            workspace: workspace.into(),
            provider,
            granted_scopes: Arc::new(scopes.into_iter().collect()),
        }))
    }
}
