//! Errors of a token request.

use std::sync::Arc;
use std::time::Duration;

use latchkey_providers::FailureClass;

use crate::store::StoreError;
use crate::upstream::CircuitOpen;

/// Why there is no token. Cheap to clone: all callers of a refresh share it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The account does not exist, or its credentials were erased.
    #[error("there is no such account")]
    AccountNotFound,
    /// Several owners have an account with this handle.
    #[error("several accounts have this handle: ask by account id")]
    AccountAmbiguous,
    /// The grant lacks these scopes (sorted).
    #[error("the grant lacks {}", .0.join(" "))]
    InsufficientScopes(Vec<String>),
    /// The provider issued no token, or the grant is dead.
    #[error("{class}")]
    NoToken {
        /// Class of the failure.
        class: FailureClass,
        /// When a retry makes sense. `None` if it never does.
        retry_after: Option<Duration>,
        /// Claims challenge of the provider for the next sign-in.
        claims: Option<Arc<str>>,
    },
    /// The database does not answer.
    #[error("the credential store does not answer")]
    StoreUnavailable,
    /// The refresh continues; its result did not arrive in time.
    #[error("the refresh is still running")]
    StillRefreshing,
    /// This replica shuts down and starts no refresh any more.
    #[error("this replica shuts down")]
    Stopping,
    /// This replica has reached its limit of watches.
    #[error("this replica has reached its limit of watches")]
    TooManyWatchers,
    /// The caller has reached its limit of waiting calls.
    #[error("the caller has reached its limit of waiting calls")]
    TooManyCalls,
}

impl From<CircuitOpen> for EngineError {
    fn from(open: CircuitOpen) -> Self {
        Self::backing_off(open.class, open.retry_after)
    }
}

impl EngineError {
    /// A failure after which a retry makes no sense.
    pub fn no_token(class: FailureClass) -> Self {
        Self::NoToken {
            class,
            retry_after: None,
            claims: None,
        }
    }

    /// A failure after which the provider is not asked for `left`. If only the operator
    /// can end it, callers are not told when to retry.
    pub fn backing_off(class: FailureClass, left: Duration) -> Self {
        Self::NoToken {
            class,
            retry_after: (!class.is_operators()).then_some(left),
            claims: None,
        }
    }

    /// Adds the provider's claims challenge for the next sign-in.
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
                tracing::error!(account.id = %account, problem, "a stored grant cannot be parsed");
                Self::no_token(FailureClass::UnsealFailed)
            }
        }
    }
}
