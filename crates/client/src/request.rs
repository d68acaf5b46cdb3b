//! What a caller asks for.

use std::time::Duration;

use latchkey_domain::{AccountId, ScopeSet};

use crate::Account;

/// The contract's longest minimum.
pub(crate) const MAX_MINIMUM: Duration = Duration::from_hours(1);

/// Nobody waits longer, whatever they say.
pub(crate) const MAX_WAIT: Duration = Duration::from_hours(1);

/// A request for a token. An [`Account`] or an [`AccountId`] alone is one, with
/// the client's defaults.
///
/// ```
/// # use std::time::Duration;
/// # use latchkey_client::TokenRequest;
/// # use latchkey_domain::AccountId;
/// # let account = AccountId::generate();
/// let request = TokenRequest::new(account)
///     .scope("https://www.googleapis.com/auth/gmail.readonly")
///     .min_remaining(Duration::from_secs(600))
///     .within(Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    pub(crate) account: Account,
    pub(crate) min_remaining: Option<Duration>,
    pub(crate) scopes: ScopeSet,
    pub(crate) within: Option<Duration>,
}

impl TokenRequest {
    /// A token of the account.
    pub fn new(account: impl Into<Account>) -> Self {
        Self {
            account: account.into(),
            min_remaining: None,
            scopes: ScopeSet::default(),
            within: None,
        }
    }

    /// Least remaining life, one hour at most. Asked for by name it is kept to
    /// even while the service is away; the client's default then gives way to a
    /// token that is still valid for a few seconds.
    #[must_use]
    pub fn min_remaining(mut self, least: Duration) -> Self {
        self.min_remaining = Some(least.min(MAX_MINIMUM));
        self
    }

    /// A scope that the grant must have; may be called several times.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.insert(scope);
        self
    }

    /// The caller's deadline: how long to wait and try again; one hour at
    /// most.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.within = Some(deadline.min(MAX_WAIT));
        self
    }

    /// The account asked for.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl From<Account> for TokenRequest {
    fn from(account: Account) -> Self {
        Self::new(account)
    }
}

impl From<AccountId> for TokenRequest {
    fn from(account: AccountId) -> Self {
        Self::new(account)
    }
}
