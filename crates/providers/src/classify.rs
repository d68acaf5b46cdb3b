//! From an answer that is no token to a class (R32).
//!
//! `error` decides (RFC 6749 section 5.2), in whichever shape and under whichever status
//! it comes; its table is `classify/table.rs`. The status decides only where it says
//! more: throttled, down.

mod body;
mod table;

use std::time::Duration;

use http::StatusCode;
use latchkey_domain::RefreshToken;
use time::OffsetDateTime;

use self::body::Body;
use crate::transport::{HttpFailure, Response};
use crate::{
    Delivery, FailureClass, ProviderError, ProviderKind, TokenError, microsoft, retry_after,
    token_response,
};

/// Throttled without `Retry-After`: no sooner than this.
const THROTTLED: Duration = Duration::from_mins(1);
const MAX_CODE: usize = 100;
const MAX_DESCRIPTION: usize = 300;
const MAX_CLAIMS: usize = 8 * 1024;

/// Without what was sent, where the provider echoes it: before anything is cut
/// off, or half of a token would stay.
fn redacted(text: &str, sent: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in sent.iter().filter(|secret| !secret.is_empty()) {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        text = text
            .replace(secret, "[redacted]")
            .replace(&encoded, "[redacted]");
    }
    text
}

/// Printable, and no longer than `max` characters: neither control characters nor those
/// that turn the direction of what follows or cannot be seen.
fn printable(text: &str, max: usize) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars()
        .map(|c| if c.is_control() || hidden(c) { ' ' } else { c })
        .take(max)
        .collect()
}

/// Returns `true` if the body refuses although the status says that all is well.
pub(crate) fn refuses(body: &[u8]) -> bool {
    Body::read(body).is_some_and(|body| body.refuses())
}

/// The verdicts by error and description, family by family with their sources, as a table
/// in Markdown.
pub fn verdict_table() -> String {
    table::markdown()
}

/// The verdict on what the body says.
fn class_of_error(body: &Body) -> Option<FailureClass> {
    let word = body::word(body.error()?);
    let subtype = body.text("error_subtype").map(body::word);
    let of_subtype = subtype.filter(|_| word == "invalid_grant");
    let of_subtype = of_subtype.and_then(|subtype| table::class_of(&subtype, None));
    of_subtype.or_else(|| table::class_of(&word, body.description()))
}

/// Where no word decides.
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
        // An address that is not there says nothing of a grant.
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::GONE => FailureClass::ProviderUnavailable,
        _ if status.is_redirection() => FailureClass::MalformedResponse,
        _ => FailureClass::Unknown,
    }
}

/// A 401 is about the client, unless its word is about something else.
fn mentions_grant(body: &Body) -> bool {
    let word = body.error().map(body::word).unwrap_or_default();
    ["token", "grant", "session", "user"]
        .iter()
        .any(|part| word.contains(part))
}

/// A 500 with an error about one grant is how Dex tells that a person is gone, and an
/// outage does not look like this: it counts against the grant, and says nothing of the
/// provider. Any other 5xx is an outage.
fn class_of_5xx(
    kind: ProviderKind,
    status: StatusCode,
    verdict: Option<FailureClass>,
) -> FailureClass {
    let about_a_grant = matches!(
        verdict,
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
    if kind == ProviderKind::Oidc && status == StatusCode::INTERNAL_SERVER_ERROR && about_a_grant {
        FailureClass::Unknown
    } else {
        FailureClass::ProviderUnavailable
    }
}

/// Whether the refresh token may have been spent: a gateway that lost the server behind
/// it, or a server that broke off, does not say.
fn delivery(status: StatusCode, has_error: bool) -> Delivery {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Delivery::Unanswered,
        StatusCode::INTERNAL_SERVER_ERROR if !has_error => Delivery::Unanswered,
        _ => Delivery::Refused,
    }
}

/// Class, code and the rest of an answer that is no token; `sent` are the
/// secrets of the request.
pub(crate) fn refusal(
    kind: ProviderKind,
    answer: &Response,
    now: OffsetDateTime,
    sent: &[&str],
) -> TokenError {
    let status = answer.status;
    let parsed = Body::read(&answer.body);
    let body = parsed.as_ref();
    let numbers = body
        .filter(|_| kind == ProviderKind::Microsoft)
        .map(Body::numbers)
        .unwrap_or_default();
    let throttled = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN && body.is_some_and(Body::mentions_rate_limit));
    let verdict = body.and_then(class_of_error);
    let class = if throttled {
        FailureClass::RateLimit
    } else if status.is_server_error() {
        class_of_5xx(kind, status, verdict)
    } else {
        let verdict = verdict.unwrap_or_else(|| class_of_status(status, body));
        microsoft::class_of_codes(verdict, &numbers)
    };
    let mut retry_after = retry_after::parse(&answer.headers, now);
    if class == FailureClass::RateLimit && retry_after.is_none() {
        retry_after = Some(THROTTLED);
    }
    let error = body.and_then(Body::error);
    let code = match (error, numbers.first()) {
        (Some(error), Some(number)) => format!("{error}/AADSTS{number}"),
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
        // An error that says "all is well" may have a rotated token in it.
        rotated: body
            .filter(|_| status.is_success())
            .and_then(|body| body.text("refresh_token"))
            .filter(|token| token_response::is_token(token) && !sent.contains(token))
            .map(RefreshToken::new),
        delivery: delivery(status, error.is_some()),
    }
}

/// No answer.
pub(crate) fn failure(failure: &HttpFailure) -> TokenError {
    let (class, delivery) = match failure {
        HttpFailure::NotSent(_) => (FailureClass::Network, Delivery::NotSent),
        HttpFailure::NoResponse(_) => (FailureClass::OutcomeUnknown, Delivery::Unanswered),
        HttpFailure::TooLarge => (FailureClass::MalformedResponse, Delivery::Unreadable),
    };
    let too_large = *failure == HttpFailure::TooLarge;
    TokenError {
        code: too_large.then(|| token_response::TOKEN_TOO_LARGE.to_owned()),
        description: Some(printable(&failure.to_string(), MAX_DESCRIPTION)),
        delivery,
        ..TokenError::of(class)
    }
}

/// The provider's document could not be had: nothing was sent to the token
/// endpoint.
pub(crate) fn undiscovered(error: &ProviderError) -> TokenError {
    let class = match error {
        ProviderError::Unreachable(_) => FailureClass::Network,
        ProviderError::DiscoveryInvalid(_) => FailureClass::MalformedResponse,
        // The operator has to change something here or there.
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
