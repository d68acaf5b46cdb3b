//! What a policy asks of an account.

use std::sync::Arc;

use latchkey_domain::{AccountId, ProviderName, ScopeSet, WorkspaceId};
use uuid::Uuid;

use super::{Queue, STATEMENT, Store, StoreError, within};

/// What a policy asks of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
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
    /// Reads the facts of an account. One statement that answers one row,
    /// whether or not there is such an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn facts(&self, account: AccountId) -> Result<Option<Facts>, StoreError> {
        let query = sqlx::query_as(
            "SELECT credential.workspace_id, credential.provider, credential.granted_scopes
             FROM (VALUES ($1::uuid)) AS asked (id)
             LEFT JOIN vault.credential ON credential.account_id = asked.id",
        )
        .bind(account.as_uuid());
        let mut held = self.connections.take(Queue::InTurn).await?;
        let row = within(STATEMENT, query.fetch_one(held.connection()?)).await;
        let row: Row = held.end(row)?;
        let (Some(workspace), Some(provider), Some(scopes)) = row else {
            return Ok(None);
        };
        let provider = provider.parse().map_err(|error| StoreError::Unreadable {
            account,
            problem: format!("{error}"),
        })?;
        Ok(Some(Facts {
            workspace: workspace.into(),
            provider,
            granted_scopes: Arc::new(scopes.into_iter().collect()),
        }))
    }
}
