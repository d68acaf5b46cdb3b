//! Why there is no token.

use std::sync::Arc;
use std::time::Duration;

use latchkey_providers::FailureClass;

use crate::store::StoreError;
use crate::upstream::CircuitOpen;

/// Why there is no token. Cheap to clone: every caller of a flight gets one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No such account, or its credentials were erased.
    #[error("there is no such account")]
    AccountNotFound,
    /// The handle leads to several owners' accounts.
    #[error("several accounts have this handle: ask by account id")]
    AccountAmbiguous,
    /// The grant lacks scopes; these, sorted.
    #[error("the grant lacks {}", .0.join(" "))]
    InsufficientScopes(Vec<String>),
    /// The provider gave no token, or the grant is dead.
    #[error("{class}")]
    NoToken {
        /// What kind of failure.
        class: FailureClass,
        /// When asking again makes sense; absent where it does not.
        retry_after: Option<Duration>,
        /// What the provider asks of the person at the next sign-in (a claims challenge).
        claims: Option<Arc<str>>,
    },
    /// The database does not answer.
    #[error("the credential store does not answer")]
    StoreUnavailable,
    /// The refresh goes on, the answer did not come in time.
    #[error("the refresh has not ended yet")]
    StillRefreshing,
    /// This replica stops: it begins no refresh any more.
    #[error("this replica stops")]
    Stopping,
    /// This replica has as many watchers as it takes.
    #[error("there are too many watchers")]
    TooManyWatchers,
    /// The caller waits for as many tokens as it may.
    #[error("the caller has too many calls that wait")]
    TooManyCalls,
}

impl From<CircuitOpen> for EngineError {
    fn from(open: CircuitOpen) -> Self {
        let retry_after = (!open.class.is_operators()).then_some(open.retry_after);
        Self::no_token(open.class, retry_after)
    }
}

impl EngineError {
    /// A failure of the provider with no token to fall back on.
    pub fn no_token(class: FailureClass, retry_after: Option<Duration>) -> Self {
        Self::NoToken {
            class,
            retry_after,
            claims: None,
        }
    }

    /// The same with what the provider asks of the person.
    #[must_use]
    pub fn with_claims(mut self, asked: Option<Arc<str>>) -> Self {
        if let Self::NoToken { claims, .. } = &mut self {
            *claims = asked;
        }
        self
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            error @ (StoreError::Database(_) | StoreError::Late(_)) => {
                tracing::warn!(%error, "the database does not answer");
                Self::StoreUnavailable
            }
            StoreError::Unreadable { account, problem } => {
                tracing::error!(account.id = %account, problem, "a stored grant is not readable");
                Self::no_token(FailureClass::UnsealFailed, None)
            }
        }
    }
}
