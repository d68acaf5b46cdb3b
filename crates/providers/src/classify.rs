//! Classification of a failure at a token endpoint (R32).
//!
//! The error code decides (RFC 6749 section 5.2), whatever the format of the body and the
//! status are; its table is `classify/table.rs`. The status decides only if it says more:
//! the provider is throttling or down.

mod authorization;
mod body;
mod table;

use std::time::Duration;

use http::StatusCode;
use latchkey_domain::RefreshToken;
use time::OffsetDateTime;

use self::body::Body;
use crate::addresses::mask_addresses;
use crate::quirks::Quirks;
use crate::transport::{HttpFailure, Response};
use crate::{
    Delivery, FailureClass, ProviderError, TOKEN_TOO_LARGE, TokenError, retry_after, token_response,
};

/// Wait after throttling without `Retry-After`.
const THROTTLED: Duration = Duration::from_mins(1);
const MAX_CODE: usize = 100;
const MAX_DESCRIPTION: usize = 300;
const MAX_CLAIMS: usize = 8 * 1024;

/// Removes the secrets of the request, in case the provider echoes them, and the names in e-mail
/// addresses. This must be done before the text is shortened, or a part of them could remain.
fn redacted(text: &str, sent: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in sent.iter().filter(|secret| !secret.is_empty()) {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        text = text
            .replace(secret, "[redacted]")
            .replace(&encoded, "[redacted]");
    }
    mask_addresses(&text)
}

/// The text with at most `max` characters. Control characters, invisible characters and
/// those that change the direction of text become spaces.
fn printable(text: &str, max: usize) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars()
        .map(|c| if c.is_control() || hidden(c) { ' ' } else { c })
        .take(max)
        .collect()
}

/// Returns `true` if the body has an error, whatever the status is.
pub(crate) fn refuses(body: &[u8]) -> bool {
    Body::read(body).is_some_and(|body| body.refuses())
}

/// The table of errors with their classes and sources, in Markdown.
pub fn verdict_table() -> String {
    table::markdown()
}

/// The class by the error code of the body.
fn class_of_error(body: &Body) -> Option<FailureClass> {
    let code = body::normalized_code(body.error()?);
    let subtype = body.text("error_subtype").map(body::normalized_code);
    let of_subtype = subtype.filter(|_| code == "invalid_grant");
    let of_subtype = of_subtype.and_then(|subtype| table::class_of(&subtype, None));
    of_subtype.or_else(|| table::class_of(&code, body.description()))
}

/// The class by the status, if no error code decides.
fn class_of_status(status: StatusCode, body: Option<&Body>) -> FailureClass {
    let Some(body) = body else {
        return match status {
            StatusCode::UNAUTHORIZED => FailureClass::Unauthorized,
            StatusCode::REQUEST_TIMEOUT => FailureClass::ProviderUnavailable,
            _ => FailureClass::MalformedResponse,
        };
    };
    match status {
        StatusCode::UNAUTHORIZED if !mentions_grant(body) => FailureClass::Unauthorized,
        // A missing endpoint says nothing about a grant.
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::GONE => FailureClass::ProviderUnavailable,
        _ if status.is_redirection() => FailureClass::MalformedResponse,
        _ => FailureClass::Unknown,
    }
}

/// Returns `true` if the error code is about a grant. A 401 is about the client otherwise.
fn mentions_grant(body: &Body) -> bool {
    let code = body.error().map(body::normalized_code).unwrap_or_default();
    ["token", "grant", "session", "user"]
        .iter()
        .any(|part| code.contains(part))
}

/// A 500 with an error about one grant counts against the grant and not as an outage of
/// the provider, if the provider may respond like this. Any other 5xx is an outage.
fn class_of_5xx(
    quirks: &dyn Quirks,
    status: StatusCode,
    by_error: Option<FailureClass>,
) -> FailureClass {
    let about_a_grant = matches!(
        by_error,
        Some(
            FailureClass::InvalidRefreshToken
                | FailureClass::RequestRejected
                | FailureClass::BlockedByAdmin
                | FailureClass::AccountDisabled
                | FailureClass::ReauthPolicy
                | FailureClass::InteractionRequired
                | FailureClass::ConsentRequired
        )
    );
    let is_500 = status == StatusCode::INTERNAL_SERVER_ERROR;
    if quirks.refuses_grants_with_500() && is_500 && about_a_grant {
        FailureClass::Unknown
    } else {
        FailureClass::ProviderUnavailable
    }
}

/// Whether the provider may have used the refresh token. A gateway that lost its server
/// does not know, and neither does a server that failed.
fn delivery(status: StatusCode, has_error: bool) -> Delivery {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Delivery::Unanswered,
        StatusCode::INTERNAL_SERVER_ERROR if !has_error => Delivery::Unanswered,
        _ => Delivery::Refused,
    }
}

/// The failure that a response means; `sent` are the secrets of the request.
pub(crate) fn refusal(
    quirks: &dyn Quirks,
    answer: &Response,
    now: OffsetDateTime,
    sent: &[&str],
) -> TokenError {
    let status = answer.status;
    let parsed = Body::read(&answer.body);
    let body = parsed.as_ref();
    let numbers = body
        .map(|body| quirks.error_numbers(body.fields(), body.description()))
        .unwrap_or_default();
    let throttled = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN && body.is_some_and(Body::mentions_rate_limit));
    let by_error = body.and_then(class_of_error);
    let class = if throttled {
        FailureClass::RateLimit
    } else if status.is_server_error() {
        class_of_5xx(quirks, status, by_error)
    } else {
        let by_error = by_error.unwrap_or_else(|| class_of_status(status, body));
        quirks.class_of_error_numbers(by_error, &numbers)
    };
    let mut retry_after = retry_after::parse(&answer.headers, now);
    if class == FailureClass::RateLimit && retry_after.is_none() {
        retry_after = Some(THROTTLED);
    }
    let error = body.and_then(Body::error);
    let code = match (error, numbers.first()) {
        (Some(error), Some(number)) => {
            format!("{error}/{}{number}", quirks.error_number_prefix())
        }
        (Some(error), None) => error.to_owned(),
        (None, _) => format!("status {}", status.as_u16()),
    };
    TokenError {
        class,
        retry_after,
        code: Some(printable(&redacted(&code, sent), MAX_CODE)),
        description: body
            .and_then(Body::description)
            .map(|text| printable(&redacted(text, sent), MAX_DESCRIPTION)),
        claims: body
            .and_then(|body| body.text("claims"))
            .filter(|claims| claims.len() <= MAX_CLAIMS)
            .map(str::to_owned),
        // An error with a status of success may contain a rotated token.
        rotated: body
            .filter(|_| status.is_success())
            .and_then(|body| body.text("refresh_token"))
            .filter(|token| token_response::is_token(token) && !sent.contains(token))
            .map(RefreshToken::new),
        delivery: delivery(status, error.is_some()),
    }
}

/// The failure of a request without a complete response.
pub(crate) fn failure(failure: &HttpFailure) -> TokenError {
    let (class, delivery) = match failure {
        HttpFailure::NotSent(_) => (FailureClass::Network, Delivery::NotSent),
        HttpFailure::NoResponse(_) => (FailureClass::OutcomeUnknown, Delivery::Unanswered),
        HttpFailure::TooLarge => (FailureClass::MalformedResponse, Delivery::Unreadable),
    };
    let too_large = *failure == HttpFailure::TooLarge;
    TokenError {
        code: too_large.then(|| TOKEN_TOO_LARGE.to_owned()),
        description: Some(printable(&failure.to_string(), MAX_DESCRIPTION)),
        delivery,
        ..TokenError::of(class)
    }
}

/// The failure if discovery failed, so that nothing was sent to the token endpoint.
pub(crate) fn undiscovered(error: &ProviderError) -> TokenError {
    let class = match error {
        ProviderError::Unreachable(_) => FailureClass::Network,
        ProviderError::DiscoveryInvalid(_) => FailureClass::MalformedResponse,
        // The operator must change the configuration here or at the provider.
        ProviderError::Unsupported(_) => FailureClass::ClientMisconfigured,
        _ => FailureClass::ProviderUnavailable,
    };
    TokenError {
        description: Some(printable(&error.to_string(), MAX_DESCRIPTION)),
        ..TokenError::of(class).not_sent()
    }
}

#[cfg(test)]
mod tests;
