//! From an answer that is no token to a class (R32).
//!
//! `error` decides (RFC 6749 section 5.2). The status decides only where it
//! says more: throttled, down.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::transport::{Answer, HttpFailure};
use crate::{
    Delivery, FailureClass, ProviderError, ProviderKind, TokenError, microsoft, retry_after,
};

/// Throttled without `Retry-After`: no sooner than this.
const THROTTLED: Duration = Duration::from_mins(1);
const MAX_CODE: usize = 100;
const MAX_DESCRIPTION: usize = 300;
const MAX_CLAIMS: usize = 8 * 1024;

/// What is read of an error body; everything may be odd.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Value,
    error_description: Value,
    error_subtype: Value,
    error_codes: Value,
    claims: Value,
}

impl Body {
    /// `error`, also of Google's API style: `{"error": {"status": "…"}}`.
    fn error(&self) -> Option<&str> {
        let nested = || {
            let error = self.error.as_object()?;
            error.get("status")?.as_str()
        };
        self.error
            .as_str()
            .or_else(nested)
            .filter(|text| !text.is_empty())
    }

    fn description(&self) -> Option<&str> {
        self.error_description
            .as_str()
            .or_else(|| self.error.get("message")?.as_str())
    }

    /// Microsoft's numbers: the list, else the one at the head of the text.
    fn numbers(&self) -> Vec<u64> {
        if let Some(list) = self.error_codes.as_array() {
            return list.iter().take(10).filter_map(Value::as_u64).collect();
        }
        let digits = |text: &str| {
            let rest = text.split_once("AADSTS")?.1;
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        };
        self.description().and_then(digits).into_iter().collect()
    }

    /// Throttling that arrives as 403.
    fn speaks_of_rate(&self) -> bool {
        let text = self.error.to_string().to_lowercase();
        [
            "ratelimitexceeded",
            "rate_limit",
            "quotaexceeded",
            "resource_exhausted",
        ]
        .iter()
        .any(|word| text.contains(word))
    }
}

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

/// Printable, and no longer than `max` characters.
fn printable(text: &str, max: usize) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(max)
        .collect()
}

/// Class of the word in `error`. Sources: RFC 6749 sections 4.1.2.1 and 5.2, OpenID
/// Connect Core 1.0 section 3.1.2.6, RFC 6750 section 3.1 (`insufficient_scope`),
/// RFC 8628 section 3.5 (`slow_down`), RFC 8707 section 2 (`invalid_target`);
/// Google's own (`admin_policy_enforced`, `org_internal`, `deleted_client`):
/// <https://developers.google.com/identity/protocols/oauth2/web-server>, and
/// `invalid_rapt`, `rapt_required`: `google/oauth2/reauth.py` of its Python library;
/// Microsoft's own (`consent_required`, `invalid_resource`): its page of error codes.
fn class_of_error(error: &str, body: &Body) -> Option<FailureClass> {
    Some(match error {
        "invalid_grant" => match body.error_subtype.as_str() {
            Some("invalid_rapt" | "rapt_required") => FailureClass::ReauthPolicy,
            _ => FailureClass::InvalidRefreshToken,
        },
        "invalid_rapt" | "rapt_required" => FailureClass::ReauthPolicy,
        "interaction_required" | "login_required" | "account_selection_required" => {
            FailureClass::InteractionRequired
        }
        "consent_required" => FailureClass::ConsentRequired,
        "insufficient_scope" => FailureClass::InsufficientScopes,
        "admin_policy_enforced" | "org_internal" => FailureClass::BlockedByAdmin,
        "invalid_client" | "deleted_client" | "disabled_client" | "unauthorized_client" => {
            FailureClass::ClientMisconfigured
        }
        "invalid_request"
        | "unsupported_grant_type"
        | "unsupported_response_type"
        | "redirect_uri_mismatch" => FailureClass::RequestRejected,
        "invalid_scope" | "invalid_target" | "invalid_resource" => FailureClass::ScopeInvalid,
        "slow_down" => FailureClass::RateLimit,
        "temporarily_unavailable" | "server_error" => FailureClass::ProviderUnavailable,
        _ => return None,
    })
}

fn class_of_status(status: StatusCode, is_json: bool) -> FailureClass {
    match status {
        StatusCode::UNAUTHORIZED => FailureClass::Unauthorized,
        StatusCode::REQUEST_TIMEOUT => FailureClass::ProviderUnavailable,
        _ if !is_json || !status.is_client_error() => FailureClass::MalformedResponse,
        _ => FailureClass::Unknown,
    }
}

/// Class, code and the rest of an answer that is no token; `sent` are the
/// secrets of the request.
pub(crate) fn refusal(
    kind: ProviderKind,
    answer: &Answer,
    now: OffsetDateTime,
    sent: &[&str],
) -> TokenError {
    let status = answer.status;
    let parsed: Option<Body> = serde_json::from_slice(&answer.body).ok();
    let is_json = parsed.is_some();
    let body = parsed.unwrap_or_default();
    let numbers = if kind == ProviderKind::Microsoft {
        body.numbers()
    } else {
        Vec::new()
    };
    let throttled = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN && body.speaks_of_rate());
    let class = if throttled {
        FailureClass::RateLimit
    } else if status.is_server_error() {
        FailureClass::ProviderUnavailable
    } else {
        let verdict = body
            .error()
            .and_then(|error| class_of_error(error, &body))
            .unwrap_or_else(|| class_of_status(status, is_json));
        microsoft::class_of_codes(verdict, &numbers)
    };
    let mut retry_after = retry_after::parse(&answer.headers, now);
    if class == FailureClass::RateLimit && retry_after.is_none() {
        retry_after = Some(THROTTLED);
    }
    let code = match (body.error(), numbers.first()) {
        (Some(error), Some(number)) => Some(format!("{error}/AADSTS{number}")),
        (Some(error), None) => Some(error.to_owned()),
        (None, _) => Some(format!("status {}", status.as_u16())),
    };
    TokenError {
        class,
        retry_after,
        code: code.map(|code| printable(&redacted(&code, sent), MAX_CODE)),
        description: body
            .description()
            .map(|text| printable(&redacted(text, sent), MAX_DESCRIPTION)),
        claims: body
            .claims
            .as_str()
            .filter(|claims| claims.len() <= MAX_CLAIMS)
            .map(str::to_owned),
        rotated: None,
        delivery: Delivery::Refused,
    }
}

/// No answer.
pub(crate) fn failure(failure: &HttpFailure) -> TokenError {
    let (class, delivery) = match failure {
        HttpFailure::NotSent(_) => (FailureClass::Network, Delivery::NotSent),
        HttpFailure::Lost(_) => (FailureClass::OutcomeUnknown, Delivery::Unanswered),
        HttpFailure::TooLarge => (FailureClass::MalformedResponse, Delivery::Unreadable),
    };
    TokenError {
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
        _ => FailureClass::ProviderUnavailable,
    };
    TokenError {
        description: Some(printable(&error.to_string(), MAX_DESCRIPTION)),
        ..TokenError::of(class).not_sent()
    }
}

#[cfg(test)]
mod tests;
