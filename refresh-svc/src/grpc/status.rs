//! Maps errors to gRPC statuses according to the table in `token.proto` (R32).

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use latchkey_providers::FailureClass;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::engine::EngineError;
use crate::snapshot::Snapshot;

/// `google.rpc.ErrorInfo.domain` of every error.
const DOMAIN: &str = "latchkey";
/// `RetryInfo` if no better value is known.
const SOON: Duration = Duration::from_secs(1);

/// `google.rpc.ErrorInfo.reason` of an error.
pub(super) fn reason(error: &EngineError) -> &'static str {
    match error {
        EngineError::AccountNotFound => "ACCOUNT_NOT_FOUND",
        EngineError::AccountAmbiguous => "ACCOUNT_AMBIGUOUS",
        EngineError::InsufficientScopes(_) => FailureClass::InsufficientScopes.reason(),
        EngineError::NoToken { class, .. } => class.reason(),
        EngineError::StoreUnavailable => "STORE_UNAVAILABLE",
        EngineError::StillRefreshing => "STILL_REFRESHING",
        EngineError::Stopping => "SHUTTING_DOWN",
        EngineError::TooManyWatchers => "TOO_MANY_WATCHERS",
        EngineError::TooManyCalls => "TOO_MANY_CALLS",
    }
}

/// Reason why a grant is dead.
pub(super) fn of_dead(snapshot: &Snapshot) -> &'static str {
    snapshot
        .failure()
        .map_or(FailureClass::InvalidRefreshToken, |failure| failure.class)
        .reason()
}

/// The status of an error.
pub(super) fn status(error: &EngineError) -> Status {
    let (code, message, retry_after) = match error {
        EngineError::AccountNotFound => (
            Code::NotFound,
            "the account does not exist, was disconnected, or its handle is not vouched for: \
             ask by account id"
                .to_owned(),
            None,
        ),
        EngineError::AccountAmbiguous => (
            Code::FailedPrecondition,
            "several people have an account with this handle: ask by account id".to_owned(),
            None,
        ),
        EngineError::InsufficientScopes(missing) => (
            Code::FailedPrecondition,
            format!("the person has not granted {}", missing.join(" ")),
            None,
        ),
        EngineError::StoreUnavailable => (
            Code::Unavailable,
            "the credential store does not answer".to_owned(),
            Some(SOON),
        ),
        EngineError::StillRefreshing => (
            Code::DeadlineExceeded,
            "the refresh is still running: retry".to_owned(),
            Some(SOON),
        ),
        EngineError::Stopping => (
            Code::Unavailable,
            "this replica shuts down: ask another one".to_owned(),
            Some(SOON),
        ),
        EngineError::TooManyWatchers => (
            Code::ResourceExhausted,
            "this replica has reached its limit of watches: use another replica".to_owned(),
            Some(SOON),
        ),
        EngineError::TooManyCalls => (
            Code::ResourceExhausted,
            "the caller has reached its limit of waiting calls: retry after some are answered"
                .to_owned(),
            Some(SOON),
        ),
        EngineError::NoToken {
            class, retry_after, ..
        } => {
            let (code, message) = of_class(*class);
            let retries = matches!(
                code,
                Code::Unavailable | Code::ResourceExhausted | Code::Unknown
            );
            (
                code,
                message.to_owned(),
                retries.then(|| retry_after.unwrap_or(SOON).max(SOON)),
            )
        }
    };
    let metadata = match error {
        EngineError::InsufficientScopes(missing) => {
            HashMap::from([("missing_scopes".to_owned(), missing.join(" "))])
        }
        EngineError::NoToken {
            claims: Some(claims),
            ..
        } => HashMap::from([("claims".to_owned(), claims.to_string())]),
        _ => HashMap::new(),
    };
    let mut details = ErrorDetails::with_error_info(reason(error), DOMAIN, metadata);
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, message, details)
}

/// The status of an invalid request.
pub(super) fn invalid(field: &'static str, problem: &dyn Display) -> Status {
    let problem = problem.to_string();
    let mut details = ErrorDetails::with_error_info("INVALID_REQUEST", DOMAIN, HashMap::new());
    details.add_bad_request_violation(field, &problem);
    Status::with_error_details(
        Code::InvalidArgument,
        format!("{field}: {problem}"),
        details,
    )
}

/// Code and message of a class. The message states who must act.
const fn of_class(class: FailureClass) -> (Code, &'static str) {
    match class {
        FailureClass::InvalidRefreshToken => (
            Code::FailedPrecondition,
            "the grant was revoked or has expired: the person must sign in again",
        ),
        FailureClass::NoRefreshToken => (
            Code::FailedPrecondition,
            "the provider issued no refresh token: the person must sign in again and consent",
        ),
        FailureClass::RotationLost => (
            Code::FailedPrecondition,
            "the rotated refresh token was lost: the person must sign in again",
        ),
        FailureClass::ReauthPolicy => (
            Code::FailedPrecondition,
            "the organisation's policy requires a new sign-in",
        ),
        FailureClass::InteractionRequired => (
            Code::FailedPrecondition,
            "the provider requires an interaction: the person must sign in again",
        ),
        FailureClass::ConsentRequired => (
            Code::FailedPrecondition,
            "consent is missing: the person must sign in again and consent",
        ),
        FailureClass::BlockedByAdmin => (
            Code::FailedPrecondition,
            "the organisation's administrator does not allow this application",
        ),
        FailureClass::AccountDisabled => (
            Code::FailedPrecondition,
            "the person's account at the provider is disabled or deleted",
        ),
        FailureClass::Refused => (
            Code::FailedPrecondition,
            "the provider keeps refusing the grant: the person must sign in again",
        ),
        FailureClass::ClientChanged => (
            Code::FailedPrecondition,
            "the grant was issued to another client id than the configured one: \
             the person must sign in again",
        ),
        FailureClass::GrantsRefused => (
            Code::Internal,
            "the provider refuses the grants of many accounts and serves none: the operator \
             must act",
        ),
        FailureClass::InsufficientScopes => (
            Code::FailedPrecondition,
            "the person has not granted the required scopes",
        ),
        FailureClass::RateLimit => (
            Code::ResourceExhausted,
            "the provider throttles: retry later",
        ),
        FailureClass::ProviderUnavailable => {
            (Code::Unavailable, "the provider is down: retry later")
        }
        FailureClass::Network => (
            Code::Unavailable,
            "the provider cannot be reached: retry later",
        ),
        FailureClass::OutcomeUnknown => (
            Code::Unavailable,
            "the provider did not answer in time: retry later",
        ),
        FailureClass::MalformedResponse => (
            Code::Unavailable,
            "the provider's answer was unreadable: retry later",
        ),
        FailureClass::Unauthorized | FailureClass::ClientMisconfigured => (
            Code::Internal,
            "the provider does not accept this deployment's client: the operator must act",
        ),
        FailureClass::RequestRejected | FailureClass::ScopeInvalid => (
            Code::Internal,
            "the provider does not accept the request: the operator must act",
        ),
        FailureClass::UnsealFailed => (
            Code::Internal,
            "the stored grant cannot be opened: the operator must act",
        ),
        FailureClass::Unknown => (
            Code::Unknown,
            "the provider refused for an unknown reason: retry later",
        ),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use latchkey_proto::reason::{Known, Retry};
    use latchkey_service::grpc::{CALLER_NOT_ALLOWED, CALLER_UNKNOWN};

    use super::*;

    // R32: the table of token.proto, read from the file itself.
    #[test]
    fn every_class_has_the_status_that_the_contract_promises() {
        let contract = include_str!("../../../proto/latchkey/token/v1/token.proto");
        for class in FailureClass::ALL {
            let row = contract
                .lines()
                .find(|line| line.contains(&format!("`{}`", class.reason())))
                .unwrap_or_else(|| panic!("{class} is not in the contract"));
            let error = EngineError::no_token(class, None);
            let status = status(&error);
            let promised = row.split('|').nth(2).unwrap().trim();
            let given = match status.code() {
                Code::FailedPrecondition => "FAILED_PRECONDITION",
                Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
                Code::Unavailable => "UNAVAILABLE",
                Code::Internal => "INTERNAL",
                Code::Unknown => "UNKNOWN",
                other => panic!("{other:?}"),
            };
            assert_eq!(given, promised, "{class}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (info.domain.as_str(), info.reason.as_str()),
                ("latchkey", class.reason())
            );
            let promised_retry = row.contains("after RetryInfo");
            assert_eq!(
                status.get_details_retry_info().is_some(),
                promised_retry,
                "{class}"
            );
        }
    }

    // R32
    #[test]
    fn the_reasons_of_our_own_are_in_the_contract() {
        let contract = include_str!("../../../proto/latchkey/token/v1/token.proto");
        for error in [
            EngineError::AccountNotFound,
            EngineError::AccountAmbiguous,
            EngineError::StoreUnavailable,
            EngineError::StillRefreshing,
            EngineError::Stopping,
            EngineError::TooManyWatchers,
            EngineError::TooManyCalls,
        ] {
            assert!(
                contract.contains(&format!("`{}`", reason(&error))),
                "{error}"
            );
        }
        for reason in ["INVALID_REQUEST", CALLER_UNKNOWN, CALLER_NOT_ALLOWED] {
            assert!(contract.contains(&format!("`{reason}`")), "{reason}");
        }
    }

    // R32
    #[test]
    fn every_status_is_the_one_of_the_reason_in_the_contract() {
        let own = [
            EngineError::AccountNotFound,
            EngineError::AccountAmbiguous,
            EngineError::InsufficientScopes(Vec::new()),
            EngineError::StoreUnavailable,
            EngineError::StillRefreshing,
            EngineError::TooManyWatchers,
            EngineError::TooManyCalls,
        ];
        let of_classes = FailureClass::ALL.map(|class| EngineError::no_token(class, None));
        for error in own.into_iter().chain(of_classes) {
            let known = Known::of(reason(&error))
                .unwrap_or_else(|| panic!("{} is not in the contract", reason(&error)));
            let status = status(&error);
            assert_eq!(status.code(), known.code(), "{}", known.name);
            assert_eq!(
                status.get_details_retry_info().is_some(),
                known.retry == Retry::Later,
                "{}",
                known.name
            );
        }
        for name in ["INVALID_REQUEST", CALLER_UNKNOWN, CALLER_NOT_ALLOWED] {
            assert!(Known::of(name).is_some(), "{name}");
        }
    }

    // R32
    #[test]
    fn missing_scopes_are_named_for_machines() {
        let error = EngineError::InsufficientScopes(vec!["a".to_owned(), "b".to_owned()]);
        let info = status(&error).get_details_error_info().unwrap();
        assert_eq!(info.metadata["missing_scopes"], "a b");
    }
}
