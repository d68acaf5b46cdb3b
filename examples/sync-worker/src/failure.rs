//! What a failure means for a channel: the table that every worker needs.

use std::time::Duration;

use latchkey_client::{Reason, TokenError};
use latchkey_proto::account::FailureKind;
use latchkey_proto::account::report_sync_request::Failed;

use crate::provider::ApiError;

/// Why a job was not completed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The provider's API did not return the data.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The job names a provider that this worker does not know.
    #[error("this worker knows no API of the provider {0}")]
    UnknownProvider(String),
    /// The job has no valid account id.
    #[error("the job has no valid account id")]
    InvalidJob,
}

impl JobError {
    /// What to report of the channel. `None` if the account is gone: there is nothing to report,
    /// and sync-svc has stopped its channels.
    pub(crate) fn report(&self) -> Option<Failed> {
        use FailureKind::{CursorExpired, InsufficientPermissions, Retryable, Unknown};
        let (kind, after) = match self {
            Self::Token(TokenError::NotFound) => return None,
            // Only the person can repair it, by a new sign-in, which starts the channel again.
            Self::Token(TokenError::SignInAgain { .. }) | Self::Api(ApiError::Forbidden) => {
                (InsufficientPermissions, None)
            }
            // sync-svc publishes a new job when the time has come.
            Self::Token(TokenError::RetryLater { after, .. }) => (Retryable, Some(*after)),
            Self::Api(ApiError::Throttled { after }) => (Retryable, *after),
            Self::Api(ApiError::Unavailable(_)) => (Retryable, None),
            // The operator has to act, and the person's grant is not affected: the channel goes on
            // by itself once the cause is removed.
            Self::Token(TokenError::OperatorProblem { .. } | TokenError::NotAllowed { .. }) => {
                (Retryable, Some(OPERATOR_NEEDS))
            }
            // The sync starts from the beginning, with a new job.
            Self::Api(ApiError::CursorExpired) => (CursorExpired, None),
            // A mistake in this code or its configuration; `latchkey channels restart` starts the
            // channel again after it was corrected.
            Self::Token(_)
            | Self::Api(ApiError::TokenRefused | ApiError::Unexpected(_))
            | Self::UnknownProvider(_)
            | Self::InvalidJob => (Unknown, None),
        };
        Some(Failed {
            kind: kind.into(),
            retry_after: after.and_then(|after| after.try_into().ok()),
            // No secret is in an error of the client, nor in one of this worker.
            detail: self.to_string().chars().take(MOST_DETAIL).collect(),
        })
    }

    /// The reason of the token service, for the log.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Token(error) => error.reason(),
            _ => None,
        }
    }
}

/// Time until a job is tried again that waits for an operator.
const OPERATOR_NEEDS: Duration = Duration::from_mins(15);
/// Longest `detail` of the contract, in characters.
const MOST_DETAIL: usize = 500;

#[cfg(test)]
mod tests {
    use latchkey_client::ScopeSet;

    use super::*;

    #[test]
    fn each_class_of_error_has_its_report() {
        let minute = Duration::from_mins(1);
        let message = String::new;
        for (error, expected) in [
            (
                JobError::from(TokenError::SignInAgain {
                    reason: Reason::InvalidRefreshToken,
                    missing_scopes: ScopeSet::default(),
                    claims: None,
                }),
                Some((FailureKind::InsufficientPermissions, None)),
            ),
            (
                TokenError::RetryLater {
                    reason: Reason::Network,
                    after: minute,
                }
                .into(),
                Some((FailureKind::Retryable, Some(60))),
            ),
            (
                TokenError::OperatorProblem {
                    reason: Reason::UnsealFailed,
                    message: message(),
                }
                .into(),
                Some((FailureKind::Retryable, Some(15 * 60))),
            ),
            (
                TokenError::NotAllowed { message: message() }.into(),
                Some((FailureKind::Retryable, Some(15 * 60))),
            ),
            (TokenError::NotFound.into(), None),
            (
                TokenError::StillRefused.into(),
                Some((FailureKind::Unknown, None)),
            ),
            (
                ApiError::Throttled {
                    after: Some(minute),
                }
                .into(),
                Some((FailureKind::Retryable, Some(60))),
            ),
            (
                ApiError::Unavailable(message()).into(),
                Some((FailureKind::Retryable, None)),
            ),
            (
                ApiError::Forbidden.into(),
                Some((FailureKind::InsufficientPermissions, None)),
            ),
            (
                ApiError::CursorExpired.into(),
                Some((FailureKind::CursorExpired, None)),
            ),
            (
                JobError::UnknownProvider("acme".to_owned()),
                Some((FailureKind::Unknown, None)),
            ),
        ] {
            let report = error.report().map(|failed| {
                let after = failed.retry_after.map(|after| after.seconds);
                (failed.kind(), after)
            });
            assert_eq!(report, expected, "{error}");
        }
    }
}
