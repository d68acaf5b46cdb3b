//! The account of a token.

use std::fmt;

use latchkey_domain::{AccountId, Handle, ProviderName, WorkspaceId};
use latchkey_proto::token::{AccountHandle, AccountSelector, account_selector::Selector};

/// An account, identified by its id or by its handle.
///
/// Tokens are cached under the account as it was requested: an account requested both by
/// id and by handle is cached twice. Use one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Account {
    /// Id of a connected account.
    Id(AccountId),
    /// A mailbox address in a workspace.
    Handle {
        /// Workspace.
        workspace: WorkspaceId,
        /// Provider.
        provider: ProviderName,
        /// Mailbox address.
        handle: Handle,
    },
}

impl Account {
    pub(crate) fn selector(&self) -> AccountSelector {
        let selector = match self {
            Self::Id(id) => Selector::AccountId(id.to_string()),
            Self::Handle {
                workspace,
                provider,
                handle,
            } => Selector::Handle(AccountHandle {
                workspace_id: workspace.to_string(),
                provider: provider.to_string(),
                handle: handle.to_string(),
            }),
        };
        AccountSelector {
            selector: Some(selector),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Handle {
                workspace,
                provider,
                handle,
            } => write!(f, "{provider}:{handle}@{workspace}"),
        }
    }
}

impl From<AccountId> for Account {
    fn from(id: AccountId) -> Self {
        Self::Id(id)
    }
}
