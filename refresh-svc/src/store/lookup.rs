//! Lookup of accounts by handle, and of the attributes that a policy needs.

use std::sync::Arc;

use latchkey_domain::{AccountId, Handle, ProviderName, ScopeSet, WorkspaceId};
use tokio::time::Instant;
use uuid::Uuid;

use super::shared_statements::{SharedQuery, SharedRow, accounts};
use super::{Priority, STATEMENT, Store, StoreError, within};

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

/// Attributes of an account that a policy uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAttributes {
    /// Workspace of the account.
    pub workspace: WorkspaceId,
    /// Provider of the grant.
    pub provider: ProviderName,
    /// Scopes of the grant.
    pub granted_scopes: Arc<ScopeSet>,
}

/// Attributes of an account that was asked for. All other columns are null if it does not exist.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct AttributesRow {
    id: Uuid,
    workspace_id: Option<Uuid>,
    provider: Option<String>,
    granted_scopes: Option<Vec<String>>,
}

impl SharedRow for AttributesRow {
    const STATEMENT: &'static str =
        "SELECT asked.id, credential.workspace_id, credential.provider, credential.granted_scopes
         FROM unnest($1::uuid[]) AS asked (id)
         LEFT JOIN vault.credential ON credential.account_id = asked.id";
    type Ask = ();
    type Value = PolicyAttributes;

    fn bind<'q>(query: SharedQuery<'q>, asks: &[(AccountId, ())]) -> SharedQuery<'q> {
        query.bind(accounts(asks))
    }

    fn parse(self, (): (), _asked_at: Instant) -> Result<Option<PolicyAttributes>, StoreError> {
        let account = self.id.into();
        let (Some(workspace), Some(provider), Some(scopes)) =
            (self.workspace_id, self.provider, self.granted_scopes)
        else {
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
