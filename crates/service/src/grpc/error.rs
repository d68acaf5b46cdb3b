//! Errors of gRPC calls: a reason of the contract becomes a status with `google.rpc.ErrorInfo`
//! and, if the caller should try again, `google.rpc.RetryInfo`.

use std::collections::HashMap;
use std::time::Duration;

use latchkey_proto::reason::{DOMAIN, Reason, Retry};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

/// The wait of `RetryInfo` if the error names no other.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a call failed: a reason of the contract, which decides code and retry, and what the
/// caller should know besides.
#[derive(Debug, Clone)]
pub struct CallError {
    reason: Reason,
    message: String,
    retry_after: Duration,
    metadata: HashMap<String, String>,
    field: Option<(&'static str, String)>,
    is_of_account_service: bool,
}

impl CallError {
    /// An error with a message for people.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: RETRY_DELAY,
            metadata: HashMap::new(),
            field: None,
            is_of_account_service: false,
        }
    }

    /// A field of the request is missing or wrong; `google.rpc.BadRequest` names it.
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self {
            field: Some((field, problem.clone())),
            ..Self::new(Reason::InvalidRequest, format!("{field}: {problem}"))
        }
    }

    /// How long the caller should wait, if the contract says that it should try again.
    #[must_use]
    pub fn retry_after(self, retry_after: Duration) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// Adds metadata to `google.rpc.ErrorInfo`.
    #[must_use]
    pub fn with_metadata(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }

    /// `google.rpc.ErrorInfo.reason` is the name that callers of AccountService know, and
    /// the contract's name is in the metadata, under `reason`.
    #[must_use]
    pub fn of_account_service(self) -> Self {
        Self {
            is_of_account_service: true,
            ..self
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let info = error.reason.info();
        let mut metadata = error.metadata;
        let name = if error.is_of_account_service {
            metadata.insert("reason".to_owned(), info.name.to_owned());
            info.in_account_service
        } else {
            info.name
        };
        let mut details = ErrorDetails::with_error_info(name, DOMAIN, metadata);
        if info.retry == Retry::Later {
            details.set_retry_info(Some(error.retry_after));
        }
        if let Some((field, problem)) = error.field {
            details.add_bad_request_violation(field, problem);
        }
        Status::with_error_details(info.code(), error.message, details)
    }
}

#[cfg(test)]
mod tests {
    use latchkey_proto::reason::ALL;

    use super::*;

    // R32
    #[test]
    fn every_reason_has_the_code_and_the_retry_of_the_contract() {
        for info in ALL {
            let after = Duration::from_secs(7);
            let status = Status::from(CallError::new(info.reason(), "m").retry_after(after));
            assert_eq!(status.code(), info.code(), "{}", info.name);
            assert_eq!(status.message(), "m");
            let error_info = status.get_details_error_info().unwrap();
            assert_eq!(
                (error_info.domain.as_str(), error_info.reason.as_str()),
                (DOMAIN, info.name)
            );
            let retry = status.get_details_retry_info();
            let expected = (info.retry == Retry::Later).then_some(after);
            assert_eq!(retry.and_then(|info| info.retry_delay), expected);
        }
    }

    #[test]
    fn account_service_names_both_reasons() {
        let error = CallError::new(Reason::StoreUnavailable, "m").of_account_service();
        let info = Status::from(error).get_details_error_info().unwrap();
        assert_eq!(
            info.reason,
            Reason::StoreUnavailable.info().in_account_service
        );
        assert_eq!(info.metadata["reason"], "STORE_UNAVAILABLE");
    }

    #[test]
    fn a_wrong_field_is_named() {
        let status = Status::from(CallError::invalid("account_id", "must be a UUID"));
        assert_eq!(status.message(), "account_id: must be a UUID");
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "account_id");
        assert_eq!(bad.field_violations[0].description, "must be a UUID");
    }
}
