//! Errors, distinguished by who must act.

use std::path::PathBuf;
use std::time::Duration;

use latchkey_domain::ScopeSet;

use crate::Reason;

/// Why there is no token. Each variant requires a different reaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The person must sign in again; until then every call fails. Show it to the
    /// person, stop the account's work and wait for `account.connected.v1`.
    #[error("the person must sign in again: {reason}")]
    SignInAgain {
        /// The reason.
        reason: Reason,
        /// Scopes that the grant lacks if the reason is [`Reason::InsufficientScopes`];
        /// otherwise empty.
        missing_scopes: ScopeSet,
        /// The provider's claims challenge, to pass on at the next sign-in.
        claims: Option<String>,
    },
    /// A temporary failure. The client has already retried within the caller's deadline.
    #[error("no token at the moment, retry later: {reason}")]
    RetryLater {
        /// The reason.
        reason: Reason,
        /// When to retry: from the service's RetryInfo, else from the client's own
        /// back-off. The client answers earlier requests with the same error.
        after: Duration,
    },
    /// The policy or the certificate does not allow this token to this caller.
    #[error("not allowed: {message}")]
    NotAllowed {
        /// Message of the service.
        message: String,
    },
    /// The account does not exist or was disconnected.
    #[error("there is no such account")]
    NotFound,
    /// The operator must correct the deployment; the person's grant is not affected.
    #[error("the operator must act: {reason}: {message}")]
    OperatorProblem {
        /// The reason.
        reason: Reason,
        /// Message of the service.
        message: String,
    },
    /// The request is invalid: an error in the calling code.
    #[error("the request is invalid: {message}")]
    InvalidRequest {
        /// Message of the service.
        message: String,
    },
    /// The provider's API refuses even the token that has just replaced a refused one,
    /// so the token is not the cause: see the API's error message. Another replacement
    /// is possible after the cool-down.
    #[error("the provider's API refuses a token that was just issued")]
    StillRefused,
}

impl TokenError {
    /// The machine-readable reason, if there is one.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::SignInAgain { reason, .. }
            | Self::RetryLater { reason, .. }
            | Self::OperatorProblem { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// How long to wait before a retry, if a retry helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RetryLater { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// Returns `true` if the grant itself may be intact, so that a token which is still
    /// valid may be used.
    pub(crate) fn allows_cached_token(&self) -> bool {
        matches!(self, Self::RetryLater { .. } | Self::OperatorProblem { .. })
    }

    /// Returns `true` if the cached token must be removed too: the account does not
    /// exist, the grant is dead, or the caller is no longer allowed.
    pub(crate) fn invalidates_cached_token(&self) -> bool {
        match self {
            Self::SignInAgain { reason, .. } => *reason != Reason::InsufficientScopes,
            Self::NotFound | Self::NotAllowed { .. } => true,
            _ => false,
        }
    }
}

/// Errors of [`TokenClientBuilder::build`](crate::TokenClientBuilder::build) and [`MutualTls`](crate::MutualTls).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No address was given.
    #[error("no address of refresh-svc was given")]
    NoAddress,
    /// An address is invalid.
    #[error("{address:?} is not a valid address: use https://host:port")]
    Address {
        /// The address as it was given.
        address: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        cause: std::io::Error,
    },
    /// The content is not PEM of the expected kind.
    #[error("the {what} is not PEM of the expected kind")]
    NoPem {
        /// `authority`, `certificate` or `key`.
        what: &'static str,
    },
    /// Certificates and key do not form a valid TLS configuration.
    #[error("the certificates are unusable: {0}")]
    Tls(tonic::transport::Error),
}
