//! A gRPC status as a [`TokenError`]: the table of `token.proto`, read back.

use std::time::Duration;

use latchkey_domain::ScopeSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{Reason, TokenError};

/// `google.rpc.ErrorInfo.domain` of the service's own errors.
const DOMAIN: &str = "latchkey";
/// Words of a status are kept up to here.
const LONGEST_MESSAGE: usize = 300;

/// Reads what a replica answered, or what the transport said in its place.
/// Where no RetryInfo came, `after` is zero and the shelf fills it in.
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

/// True where no replica's own words stand behind the status, so that another
/// replica may do better.
pub(crate) fn is_of_the_transport(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.get_details_error_info().is_none()
}

/// The contract ties each reason to one code, so the code decides, also for
/// reasons that are newer than this client.
fn by_code(status: &Status, reason: Reason, claims: Option<String>, after: Duration) -> TokenError {
    let message = || status.message().chars().take(LONGEST_MESSAGE).collect();
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
        (Code::Unavailable, Reason::Other(_)) => unreachable_service(status, after),
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

/// Nobody answered. Certificates that do not match do not heal by waiting.
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

/// What TLS said against a certificate, wherever in the chain of causes.
fn refused_certificate(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(tls) = tls_error(error) {
            return matches!(
                tls,
                rustls::Error::InvalidCertificate(_)
                    | rustls::Error::NoCertificatesPresented
                    | rustls::Error::AlertReceived(_)
            )
            .then(|| tls.to_string());
        }
        cause = error.source();
    }
    None
}

/// rustls hides its errors within `io::Error`, which leaves itself out of
/// `source()`.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref().or_else(|| {
        error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref())
    })
}

fn named(code: Code) -> String {
    format!("{code:?}")
}
