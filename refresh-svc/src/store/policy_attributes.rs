//! The attributes of an account that a policy needs.

use std::sync::Arc;

use latchkey_domain::{AccountId, ProviderName, ScopeSet, WorkspaceId};
use tokio::time::Instant;
use uuid::Uuid;

use super::error::StoreError;
use super::shared_statements::{SharedQuery, SharedRow, accounts};

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
pub(super) struct Row {
    id: Uuid,
    workspace_id: Option<Uuid>,
    provider: Option<String>,
    granted_scopes: Option<Vec<String>>,
}

impl SharedRow for Row {
    const STATEMENT: &'static str =
        "SELECT asked.id, credential.workspace_id, credential.provider, credential.granted_scopes
         FROM unnest($1::uuid[]) AS asked (id)
         LEFT JOIN vault.credential ON credential.account_id = asked.id";
    type Ask = ();
    type Value = PolicyAttributes;

    fn bind<'q>(query: SharedQuery<'q>, asks: &[(AccountId, ())]) -> SharedQuery<'q> {
        query.bind(accounts(asks))
    }

    fn parse(self, (): &(), _asked_at: Instant) -> Result<Option<PolicyAttributes>, StoreError> {
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
