//! Errors of the engine as gRPC statuses (R32). The contract decides the code of each reason
//! and whether the caller should try again.

use std::fmt::Display;
use std::time::Duration;

use latchkey_proto::reason::Reason;
use latchkey_providers::FailureClass;
use latchkey_service::grpc::CallError;
use tonic::Status;

use crate::engine::EngineError;
use crate::snapshot::Snapshot;

/// The least wait of `RetryInfo`.
const SOON: Duration = Duration::from_secs(1);

/// `google.rpc.ErrorInfo.reason` of an error.
pub(super) fn reason(error: &EngineError) -> &'static str {
    reason_of(error).info().name
}

/// The reasons that [`reason`] may return.
pub(super) fn reasons() -> impl Iterator<Item = &'static str> {
    static OWN: [EngineError; 7] = [
        EngineError::AccountNotFound,
        EngineError::AccountAmbiguous,
        EngineError::StoreUnavailable,
        EngineError::StillRefreshing,
        EngineError::Stopping,
        EngineError::TooManyWatchers,
        EngineError::TooManyCalls,
    ];
    let classes = FailureClass::ALL.into_iter().map(FailureClass::reason);
    classes.chain(OWN.iter().map(reason))
}

fn reason_of(error: &EngineError) -> Reason {
    match error {
        EngineError::AccountNotFound => Reason::AccountNotFound,
        EngineError::AccountAmbiguous => Reason::AccountAmbiguous,
        EngineError::InsufficientScopes(_) => Reason::InsufficientScopes,
        // A test holds every class to the contract.
        EngineError::NoToken { class, .. } => {
            Reason::from_name(class.reason()).unwrap_or(Reason::Unknown)
        }
        EngineError::StoreUnavailable => Reason::StoreUnavailable,
        EngineError::StillRefreshing => Reason::StillRefreshing,
        EngineError::Stopping => Reason::ShuttingDown,
        EngineError::TooManyWatchers => Reason::TooManyWatchers,
        EngineError::TooManyCalls => Reason::TooManyCalls,
    }
}

/// The reason why a grant is dead.
pub(super) fn of_dead(snapshot: &Snapshot) -> &'static str {
    snapshot
        .failure()
        .map_or(FailureClass::InvalidRefreshToken, |failure| failure.class)
        .reason()
}

/// The status of an error.
pub(super) fn status(error: &EngineError) -> Status {
    let message = match error {
        EngineError::AccountNotFound => {
            "the account does not exist, was disconnected, or its handle is not vouched for: \
             ask by account id"
        }
        EngineError::AccountAmbiguous => {
            "several people have an account with this handle: ask by account id"
        }
        EngineError::InsufficientScopes(missing) => {
            let missing = missing.join(" ");
            let message = format!("the person has not granted {missing}");
            return CallError::new(reason_of(error), message)
                .with_metadata("missing_scopes", missing)
                .into();
        }
        EngineError::StoreUnavailable => "the credential store does not answer",
        EngineError::StillRefreshing => "the refresh is still running: retry",
        EngineError::Stopping => "this replica shuts down: ask another one",
        EngineError::TooManyWatchers => {
            "this replica has reached its limit of watches: use another replica"
        }
        EngineError::TooManyCalls => {
            "the caller has reached its limit of waiting calls: retry after some are answered"
        }
        EngineError::NoToken {
            class,
            retry_after,
            claims,
        } => {
            let mut status = CallError::new(reason_of(error), message_of(*class))
                .retry_after(retry_after.unwrap_or(SOON).max(SOON));
            if let Some(claims) = claims {
                status = status.with_metadata("claims", claims.to_string());
            }
            return status.into();
        }
    };
    CallError::new(reason_of(error), message).into()
}

/// The status of a request that is not valid.
pub(super) fn invalid(field: &'static str, problem: &dyn Display) -> Status {
    CallError::invalid(field, problem.to_string()).into()
}

/// The message of a class of failures: who must do what.
const fn message_of(class: FailureClass) -> &'static str {
    match class {
        FailureClass::InvalidRefreshToken => {
            "the grant was revoked or has expired: the person must sign in again"
        }
        FailureClass::NoRefreshToken => {
            "the provider issued no refresh token: the person must sign in again and consent"
        }
        FailureClass::RotationLost => {
            "the rotated refresh token was lost: the person must sign in again"
        }
        FailureClass::ReauthPolicy => "the organisation's policy requires a new sign-in",
        FailureClass::InteractionRequired => {
            "the provider requires an interaction: the person must sign in again"
        }
        FailureClass::ConsentRequired => {
            "consent is missing: the person must sign in again and consent"
        }
        FailureClass::BlockedByAdmin => {
            "the organisation's administrator does not allow this application"
        }
        FailureClass::AccountDisabled => {
            "the person's account at the provider is disabled or deleted"
        }
        FailureClass::Refused => {
            "the provider keeps refusing the grant: the person must sign in again"
        }
        FailureClass::ClientChanged => {
            "the grant was issued to another client id than the configured one: \
             the person must sign in again"
        }
        FailureClass::GrantsRefused => {
            "the provider refuses the grants of many accounts and serves none: the operator \
             must act"
        }
        FailureClass::InsufficientScopes => "the person has not granted the required scopes",
        FailureClass::RateLimit => "the provider throttles: retry later",
        FailureClass::ProviderUnavailable => "the provider is down: retry later",
        FailureClass::Network => "the provider cannot be reached: retry later",
        FailureClass::OutcomeUnknown => "the provider did not answer in time: retry later",
        FailureClass::MalformedResponse => "the provider's answer was unreadable: retry later",
        FailureClass::Unauthorized | FailureClass::ClientMisconfigured => {
            "the provider does not accept this deployment's client: the operator must act"
        }
        FailureClass::RequestRejected | FailureClass::ScopeInvalid => {
            "the provider does not accept the request: the operator must act"
        }
        FailureClass::UnsealFailed => "the stored grant cannot be opened: the operator must act",
        FailureClass::Unknown => "the provider refused for an unknown reason: retry later",
    }
}

#[cfg(test)]
mod tests {
    use latchkey_proto::reason::{ReasonInfo, Retry};
    use tonic::Code;
    use tonic_types::StatusExt as _;

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
            let error = EngineError::no_token(class);
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
        for reason in ["INVALID_REQUEST", "CALLER_UNKNOWN", "CALLER_NOT_ALLOWED"] {
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
        let of_classes = FailureClass::ALL.map(EngineError::no_token);
        for error in own.into_iter().chain(of_classes) {
            let known = ReasonInfo::of(reason(&error))
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
        for name in ["INVALID_REQUEST", "CALLER_UNKNOWN", "CALLER_NOT_ALLOWED"] {
            assert!(ReasonInfo::of(name).is_some(), "{name}");
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
