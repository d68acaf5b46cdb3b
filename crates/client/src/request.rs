//! Token requests.

use std::time::Duration;

use latchkey_domain::{AccountId, ScopeSet};

use crate::Account;

/// Longest minimum of the contract.
pub(crate) const MAX_MINIMUM: Duration = Duration::from_hours(1);

/// Upper bound of all waits.
pub(crate) const MAX_WAIT: Duration = Duration::from_hours(1);

/// A request for a token. An [`Account`] or an [`AccountId`] converts into one with the
/// client's defaults.
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
    /// Requests a token of the account.
    pub fn new(account: impl Into<Account>) -> Self {
        Self {
            account: account.into(),
            min_remaining: None,
            scopes: ScopeSet::default(),
            within: None,
        }
    }

    /// Minimum remaining life, at most one hour. A minimum that is stated here is
    /// enforced even while the service is down. With the client's default, a token that
    /// is valid for a few more seconds is returned then.
    #[must_use]
    pub fn min_remaining(mut self, least: Duration) -> Self {
        self.min_remaining = Some(least.min(MAX_MINIMUM));
        self
    }

    /// A scope that the grant must have. May be called several times.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.insert(scope);
        self
    }

    /// The caller's deadline for waiting and retries, at most one hour.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.within = Some(deadline.min(MAX_WAIT));
        self
    }

    /// The requested account.
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
