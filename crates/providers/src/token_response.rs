//! The successful response of a token endpoint. A rotated refresh token is never lost
//! because another member is malformed.

use std::time::Duration;

use latchkey_domain::{AccessToken, RefreshToken, ScopeSet};
use serde_json::{Map, Value};

use crate::{
    Delivery, FailureClass, IdToken, MAX_TOKEN, TOKEN_TOO_LARGE, TokenError, TokenResponse, fields,
    for_log,
};

/// Longest accepted lifetime of a token, in seconds: ten years.
const MAX_LIFETIME_S: f64 = 10.0 * 365.0 * 86_400.0;

/// Reads the body of a response without an error.
pub(crate) fn parse(body: &[u8]) -> Result<TokenResponse, TokenError> {
    let Some(fields) = fields::read(body) else {
        return Err(malformed("the response is not a JSON object", None));
    };
    let refresh_token = token(&fields, "refresh_token").map(RefreshToken::new);
    if let Some(kind) = unsupported_type(&fields) {
        let hint = match kind.to_ascii_lowercase().as_str() {
            "dpop" => ": it is bound to a key (DPoP, RFC 9449), which is not supported",
            _ => "",
        };
        let kind = for_log(kind);
        let problem = format!("the token is not a bearer token but {kind}{hint}");
        return Err(malformed(&problem, refresh_token));
    }
    if let Some(name) = ["access_token", "refresh_token"]
        .into_iter()
        .find(|name| is_too_large(&fields, name))
    {
        let problem = format!("the {name} is longer than {MAX_TOKEN} bytes");
        return Err(TokenError {
            code: Some(TOKEN_TOO_LARGE.to_owned()),
            ..malformed(&problem, refresh_token)
        });
    }
    let Some(access_token) = token(&fields, "access_token").map(AccessToken::new) else {
        return Err(malformed("there is no access token", refresh_token));
    };
    Ok(TokenResponse {
        access_token,
        refresh_token,
        refresh_token_expires_in: REFRESH_LIFETIME_NAMES
            .into_iter()
            .find_map(|name| lifetime(fields.get(name)?)),
        expires_in: fields.get("expires_in").and_then(|value| {
            let lifetime = lifetime(value);
            if lifetime.is_none() && !value.is_null() {
                tracing::warn!("the provider's expires_in is not usable and is ignored");
            }
            lifetime
        }),
        granted_scopes: fields.get("scope").and_then(scopes),
        // Length and format are checked when the ID token is verified.
        id_token: fields
            .get("id_token")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(IdToken::new),
    })
}

fn malformed(problem: &str, rotated: Option<RefreshToken>) -> TokenError {
    TokenError {
        description: Some(problem.to_owned()),
        rotated,
        delivery: Delivery::Unreadable,
        ..TokenError::of(FailureClass::MalformedResponse)
    }
}

/// A token: printable ASCII (RFC 6749 appendix A), so that it can be sent in a header.
fn token<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str().filter(|text| is_token(text))
}

/// Returns `true` if the text can be a token.
pub(crate) fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

fn is_too_large(fields: &Map<String, Value>, name: &str) -> bool {
    let text = fields.get(name).and_then(Value::as_str);
    text.is_some_and(|text| text.len() > MAX_TOKEN)
}

/// Members with the lifetime of the refresh token: of Keycloak; of GitHub and Google; of
/// Intuit.
const REFRESH_LIFETIME_NAMES: [&str; 3] = [
    "refresh_expires_in",
    "refresh_token_expires_in",
    "x_refresh_token_expires_in",
];

/// Values of `token_type` that providers send for a bearer token (RFC 6749 section 7.1)
/// instead of `Bearer`.
const BEARER_ALIASES: [&str; 10] = [
    "",
    "access_token",
    "accesstoken",
    "token",
    "oauth",
    "oauth2",
    "jwt",
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:jwt",
    "user",
];

/// `token_type`, if it is not that of a bearer token. All providers that leave it out give
/// bearer tokens.
fn unsupported_type(fields: &Map<String, Value>) -> Option<&str> {
    let kind = fields.get("token_type")?.as_str()?;
    let word = kind.trim().to_ascii_lowercase();
    let bearer = word.contains("bearer") || BEARER_ALIASES.contains(&word.as_str());
    (!bearer).then_some(kind)
}

/// A lifetime in seconds, a number or a text. `None` if it is not usable.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (1.0..=MAX_LIFETIME_S)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds.floor()))
}

/// Scopes in a text with spaces or commas, or in a list. `None` if there is none: the
/// scopes are unchanged (RFC 6749 sections 5.1 and 6).
fn scopes(value: &Value) -> Option<ScopeSet> {
    match value {
        Value::String(list) => latchkey_scopes::parse_list(list),
        Value::Array(list) => {
            let list: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            latchkey_scopes::parse_list(&list?.join(" "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
