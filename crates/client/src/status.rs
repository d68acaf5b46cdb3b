//! Converts a gRPC status into a [`TokenError`] by the table of `token.proto`.

use std::error::Error as StdError;
use std::time::Duration;

use latchkey_domain::ScopeSet;
use latchkey_proto::connection_ended;
use latchkey_proto::reason::DOMAIN;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{Reason, TokenError};

/// Longer messages are truncated to this.
const MAX_MESSAGE_CHARS: usize = 300;

/// Converts the status of a replica or of the transport. Without RetryInfo, `after` is
/// zero and the cache sets it.
pub(crate) fn token_error(status: &Status) -> TokenError {
    let info = status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN);
    let after = status
        .get_details_retry_info()
        .and_then(|retry| retry.retry_delay)
        .unwrap_or_default();
    let Some(info) = info else {
        return by_code(status, Reason::Other(named(status.code())), None, after);
    };
    let missing_scopes = info
        .metadata
        .get("missing_scopes")
        .map(|list| ScopeSet::parse(list))
        .unwrap_or_default();
    let claims = info.metadata.get("claims").cloned();
    let reason = Reason::from(info.reason);
    match by_code(status, reason, claims, after) {
        TokenError::SignInAgain { reason, claims, .. } => TokenError::SignInAgain {
            reason,
            missing_scopes,
            claims,
        },
        error => error,
    }
}

/// Returns `true` if the status comes from the transport and not from a replica, so that
/// another replica may answer. All calls of the contract may safely be repeated.
pub(crate) fn is_transport_error(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => status.get_details_error_info().is_none(),
        _ => connection_ended(status),
    }
}

/// Returns `true` if another replica may answer: this one did not answer, or it shuts
/// down.
pub(crate) fn may_retry_on_another_replica(status: &Status) -> bool {
    let shuts_down = || {
        status.get_details_error_info().is_some_and(|info| {
            info.domain == DOMAIN && Reason::from(info.reason) == Reason::ShuttingDown
        })
    };
    is_transport_error(status) || (status.code() == Code::Unavailable && shuts_down())
}

/// The contract ties each reason to one code, so the code decides, even for reasons that
/// are newer than this client.
fn by_code(status: &Status, reason: Reason, claims: Option<String>, after: Duration) -> TokenError {
    let message = || status.message().chars().take(MAX_MESSAGE_CHARS).collect();
    if is_transport_error(status) {
        return unreachable_service(status, after);
    }
    match (status.code(), reason) {
        (_, Reason::AccountAmbiguous) | (Code::InvalidArgument | Code::OutOfRange, _) => {
            TokenError::InvalidRequest { message: message() }
        }
        (Code::FailedPrecondition, reason) => TokenError::SignInAgain {
            reason,
            missing_scopes: ScopeSet::default(),
            claims,
        },
        (Code::NotFound, _) => TokenError::NotFound,
        (Code::PermissionDenied | Code::Unauthenticated, _) => {
            TokenError::NotAllowed { message: message() }
        }
        (Code::DeadlineExceeded | Code::Cancelled, Reason::Other(_)) => TokenError::RetryLater {
            reason: Reason::DeadlinePassed,
            after,
        },
        (
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted,
            reason,
        ) => TokenError::RetryLater { reason, after },
        (_, reason) => TokenError::OperatorProblem {
            reason,
            message: message(),
        },
    }
}

/// The service could not be reached. Waiting does not help if certificates do not match.
fn unreachable_service(status: &Status, after: Duration) -> TokenError {
    match refused_certificate(status) {
        Some(message) => TokenError::OperatorProblem {
            reason: Reason::TlsRefused,
            message,
        },
        None => TokenError::RetryLater {
            reason: Reason::ServiceUnreachable,
            after,
        },
    }
}

/// TLS's error about a certificate, searched in the chain of causes.
fn refused_certificate(status: &Status) -> Option<String> {
    std::iter::successors(status.source(), |&cause| cause.source())
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(certificate_problem)
}

/// During the handshake the error contains that of rustls. The service's refusal of the
/// client's certificate arrives after it (TLS 1.3) through the HTTP/2 layer, which keeps
/// only the text.
fn certificate_problem(error: &std::io::Error) -> Option<String> {
    let within = error.get_ref()?;
    let words = within.to_string();
    let is_problem = match within.downcast_ref::<rustls::Error>() {
        Some(error) => matches!(
            error,
            rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
        ),
        None => words.starts_with("received fatal alert"),
    };
    is_problem.then_some(words)
}

fn named(code: Code) -> String {
    format!("{code:?}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use latchkey_proto::reason::{ALL, Retry};
    use tonic_types::ErrorDetails;

    use super::*;

    // R32: by the contract's own table, including reasons of other services.
    #[test]
    fn who_must_act_is_who_the_contract_says() {
        for known in ALL {
            let details = ErrorDetails::with_error_info(known.name, DOMAIN, HashMap::new());
            let status = Status::with_error_details(known.code(), "words", details);
            let error = token_error(&status);
            let again = matches!(error, TokenError::RetryLater { .. });
            assert_eq!(
                again,
                known.retry == Retry::Later,
                "{}: {error}",
                known.name
            );
            if known.retry == Retry::Person {
                let person = matches!(error, TokenError::SignInAgain { .. });
                assert!(person, "{}: {error}", known.name);
            }
        }
    }
}
