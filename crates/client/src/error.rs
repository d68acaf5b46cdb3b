//! Why there is no token, retry_info apart by who must do what.

use std::time::Duration;

use latchkey_domain::ScopeSet;

use crate::Reason;

/// Why there is no token. Each variant asks something else of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The person must sign in again, and until then no call will do better:
    /// show it to them, stop the account's work and wait for
    /// `account.connected.v1`.
    #[error("the person must sign in again: {reason}")]
    SignInAgain {
        /// Why.
        reason: Reason,
        /// What the grant lacks, where the reason is
        /// [`Reason::InsufficientScopes`]; empty otherwise.
        missing_scopes: ScopeSet,
        /// The provider's claims challenge, to pass on at the next sign-in.
        claims: Option<String>,
    },
    /// It will pass. The client already tried again for as long as the caller's
    /// deadline allowed.
    #[error("no token for now: {reason}")]
    RetryLater {
        /// Why.
        reason: Reason,
        /// When to ask again: by the service's RetryInfo, else by the client's
        /// own back-off. Asking earlier is answered by the client itself.
        after: Duration,
    },
    /// This caller may not have this token: policy or certificate.
    #[error("not allowed: {message}")]
    NotAllowed {
        /// The service's words.
        message: String,
    },
    /// There is no such account, or it was disconnected.
    #[error("there is no such account")]
    NotFound,
    /// Somebody must mend the deployment; the person's grant is untouched.
    #[error("the operator must act: {reason}: {message}")]
    OperatorProblem {
        /// Why.
        reason: Reason,
        /// The service's words.
        message: String,
    },
    /// The request itself is wrong: a mistake in the calling code.
    #[error("the request is wrong: {message}")]
    InvalidRequest {
        /// The service's words.
        message: String,
    },
    /// The provider's API refuses even the token that has just replaced a
    /// refused one. It is not the token: look at the API's own words. Another
    /// replacement is asked for after the cool-down.
    #[error("the provider's API refuses a token that is fresh")]
    StillRefused,
}

impl TokenError {
    /// The machine-readable reason, where there is one.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::SignInAgain { reason, .. }
            | Self::RetryLater { reason, .. }
            | Self::OperatorProblem { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// How long to wait before asking again, where waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RetryLater { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// True where the grant itself may be well, so that a token which is still
    /// valid may be used.
    pub(crate) fn allows_cached_token(&self) -> bool {
        matches!(self, Self::RetryLater { .. } | Self::OperatorProblem { .. })
    }

    /// True where the token in hand must go too: the account is gone, the grant
    /// is dead, or this caller has lost its right.
    pub(crate) fn invalidates_cached_token(&self) -> bool {
        match self {
            Self::SignInAgain { reason, .. } => *reason != Reason::InsufficientScopes,
            Self::NotFound | Self::NotAllowed { .. } => true,
            _ => false,
        }
    }
}
