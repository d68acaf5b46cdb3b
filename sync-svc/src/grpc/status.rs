//! The mapping from errors to gRPC statuses.

use std::collections::HashMap;
use std::time::Duration;

use latchkey_domain::InvalidId;
use latchkey_proto::reason::{Known, Retry};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::sync_reports::SyncReportError;

const DOMAIN: &str = "latchkey";
/// The delay for a retry after a fault of the database.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    /// A field of the request is wrong.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The name of the field.
        field: &'static str,
        /// The problem.
        problem: String,
    },
    /// The policy does not allow the call; the refusal is recorded already.
    #[error("refused")]
    Refused(Box<Status>),
    /// The account, the channel or the report does not allow the call.
    #[error(transparent)]
    SyncReport(#[from] SyncReportError),
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
        Self::SyncReport(SyncReportError::Database(error))
    }
}

impl From<Status> for RpcError {
    fn from(refusal: Status) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<RpcError> for Status {
    fn from(error: RpcError) -> Self {
        if let RpcError::Refused(status) = &error {
            return status.as_ref().clone();
        }
        let reason = reason(&error);
        let (code, mut details) = of(reason);
        let message = match &error {
            RpcError::InvalidArgument { field, problem } => {
                details.add_bad_request_violation(*field, problem);
                error.to_string()
            }
            RpcError::SyncReport(SyncReportError::Database(cause)) => {
                tracing::error!(error = %cause, "database failed");
                "the database does not answer: try again".to_owned()
            }
            RpcError::Refused(_) | RpcError::SyncReport(_) => error.to_string(),
        };
        Status::with_error_details(code, message, details)
    }
}

/// The name of the error in the contract.
fn reason(error: &RpcError) -> &'static str {
    match error {
        RpcError::InvalidArgument { .. } => "INVALID_REQUEST",
        RpcError::Refused(_) => "CALLER_NOT_ALLOWED",
        RpcError::SyncReport(error) => match error {
            SyncReportError::Database(_) => "STORE_UNAVAILABLE",
            SyncReportError::AccountNotFound => "ACCOUNT_NOT_FOUND",
            SyncReportError::ChannelNotFound => "CHANNEL_NOT_FOUND",
            SyncReportError::InvalidTransition(_) => "STATE_REFUSED",
            SyncReportError::StaleJob => "STALE_JOB",
            SyncReportError::ReauthRequired => "REAUTH_REQUIRED",
        },
    }
}

/// The code and the details that the contract gives a reason. `ErrorInfo.reason` is the
/// name that older callers know; the name in the contract is in the metadata.
fn of(reason: &'static str) -> (Code, ErrorDetails) {
    let known = Known::of(reason);
    let legacy_reason = known.map_or(reason, |known| known.in_account_service);
    let metadata = HashMap::from([("reason".to_owned(), reason.to_owned())]);
    let mut details = ErrorDetails::with_error_info(legacy_reason, DOMAIN, metadata);
    if known.is_some_and(|known| known.retry == Retry::Later) {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    (known.map_or(Code::Unknown, Known::code), details)
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
        // The name that every service uses is in the metadata.
        assert_eq!(info.metadata["reason"], "STORE_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some());
    }

    #[test]
    fn every_reason_is_in_the_contract() {
        for error in [
            RpcError::invalid("field", "problem"),
            sqlx::Error::PoolTimedOut.into(),
            SyncReportError::AccountNotFound.into(),
            SyncReportError::ChannelNotFound.into(),
            SyncReportError::StaleJob.into(),
            SyncReportError::ReauthRequired.into(),
        ] {
            assert!(Known::of(reason(&error)).is_some(), "{error}");
        }
        assert!(Known::of("STATE_REFUSED").is_some());
    }

    #[test]
    fn a_wrong_field_is_named() {
        let status = Status::from(RpcError::invalid("account_id", "must be a UUID"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "account_id");
    }
}
