//! The mapping from errors to gRPC statuses.

use std::time::Duration;

use latchkey_domain::InvalidId;
use latchkey_proto::reason::Reason;
use latchkey_service::grpc::CallError;
use tonic::Status;

use crate::sync_reports::SyncReportError;

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
        let reason = reason(&error);
        let status = match error {
            RpcError::Refused(status) => return *status,
            RpcError::InvalidArgument { field, problem } => CallError::invalid(field, problem),
            RpcError::SyncReport(SyncReportError::Database(cause)) => {
                tracing::error!(error = %cause, "database failed");
                CallError::new(reason, "the database does not answer: try again")
            }
            RpcError::SyncReport(error) => CallError::new(reason, error.to_string()),
        };
        status.retry_after(RETRY_DELAY).of_account_service().into()
    }
}

/// The reason of the error in the contract.
fn reason(error: &RpcError) -> Reason {
    match error {
        RpcError::InvalidArgument { .. } => Reason::InvalidRequest,
        RpcError::Refused(_) => Reason::CallerNotAllowed,
        RpcError::SyncReport(error) => match error {
            SyncReportError::Database(_) => Reason::StoreUnavailable,
            SyncReportError::AccountNotFound => Reason::AccountNotFound,
            SyncReportError::ChannelNotFound => Reason::ChannelNotFound,
            SyncReportError::InvalidTransition(_) => Reason::StateRefused,
            SyncReportError::StaleJob => Reason::StaleJob,
            SyncReportError::ReauthRequired => Reason::ReauthRequired,
        },
    }
}

#[cfg(test)]
mod tests {
    use latchkey_proto::reason::DOMAIN;
    use tonic::Code;
    use tonic_types::StatusExt as _;

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
            assert_ne!(reason(&error), Reason::Unspecified, "{error}");
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        let status = Status::from(RpcError::invalid("account_id", "must be a UUID"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "account_id");
    }
}
