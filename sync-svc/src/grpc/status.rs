//! The one place where an error becomes a gRPC status.

use std::time::Duration;

use latchkey_domain::InvalidId;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::progress::ProgressError;

const DOMAIN: &str = "latchkey";
/// When to come back after a fault of the database.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    /// A field of the request.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// Name of the field.
        field: &'static str,
        /// What it must be.
        problem: String,
    },
    /// The policy does not allow it; written down already.
    #[error("refused")]
    Refused(Box<Status>),
    /// An account, a channel, a report.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

impl RpcError {
    pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::InvalidArgument {
            field,
            problem: problem.into(),
        }
    }

    pub(super) fn id(field: &'static str) -> impl FnOnce(InvalidId) -> Self {
        move |error| Self::invalid(field, error.to_string())
    }
}

impl From<sqlx::Error> for RpcError {
    fn from(error: sqlx::Error) -> Self {
        Self::Progress(ProgressError::Database(error))
    }
}

impl From<Status> for RpcError {
    fn from(refusal: Status) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<RpcError> for Status {
    fn from(error: RpcError) -> Self {
        let (code, reason) = match &error {
            RpcError::Refused(status) => return status.as_ref().clone(),
            RpcError::InvalidArgument { field, problem } => {
                let mut details = info("INVALID_ARGUMENT");
                details.add_bad_request_violation(*field, problem);
                return Status::with_error_details(
                    Code::InvalidArgument,
                    error.to_string(),
                    details,
                );
            }
            RpcError::Progress(ProgressError::Database(cause)) => {
                tracing::error!(error = %cause, "database");
                let mut details = info("DATABASE_UNAVAILABLE");
                details.set_retry_info(Some(RETRY_DELAY));
                let message = "the database does not answer: try again";
                return Status::with_error_details(Code::Unavailable, message, details);
            }
            RpcError::Progress(ProgressError::AccountNotFound) => {
                (Code::NotFound, "ACCOUNT_NOT_FOUND")
            }
            RpcError::Progress(ProgressError::ChannelNotFound) => {
                (Code::NotFound, "CHANNEL_NOT_FOUND")
            }
            RpcError::Progress(ProgressError::Refused(_)) => {
                (Code::FailedPrecondition, "STATE_REFUSED")
            }
            RpcError::Progress(ProgressError::StaleJob) => (Code::FailedPrecondition, "STALE_JOB"),
            RpcError::Progress(ProgressError::ReauthRequired) => {
                (Code::FailedPrecondition, "REAUTH_REQUIRED")
            }
        };
        Status::with_error_details(code, error.to_string(), info(reason))
    }
}

fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, std::collections::HashMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_carries_a_reason_and_no_sql() {
        let status = Status::from(RpcError::from(sqlx::Error::PoolTimedOut));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("pool"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("DATABASE_UNAVAILABLE", DOMAIN)
        );
        assert!(status.get_details_retry_info().is_some());
    }

    #[test]
    fn a_wrong_field_is_named() {
        let status = Status::from(RpcError::invalid("account_id", "must be a UUID"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "account_id");
    }
}
