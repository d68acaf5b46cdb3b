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
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<TokenResponse, TokenError> {
        parse(value.to_string().as_bytes())
    }

    // R31; PEERS, the replaced system, 1.
    #[test]
    fn a_lifetime_is_a_number_a_text_or_unknown() {
        for (given, seconds) in [
            (json!(3599), Some(3599)),
            (json!("3599"), Some(3599)),
            (json!(3599.9), Some(3599)),
            (json!(null), None),
            (json!(0), None),
            (json!(-1), None),
            (json!(1e300), None),
            (json!("NaN"), None),
            (json!("soon"), None),
            (json!([3599]), None),
        ] {
            let answer = read(&json!({"access_token": "a", "expires_in": given})).unwrap();
            assert_eq!(
                answer.expires_in,
                seconds.map(Duration::from_secs),
                "{given}"
            );
        }
    }

    // R31
    #[test]
    fn a_rotated_token_survives_a_malformed_response() {
        for odd in [
            json!({"refresh_token": "new"}),
            json!({"refresh_token": "new", "access_token": ""}),
            json!({"refresh_token": "new", "access_token": 7}),
            json!({"refresh_token": "new", "access_token": "a\nb"}),
            json!({"refresh_token": "new", "access_token": "a", "token_type": "mac"}),
        ] {
            let error = read(&odd).unwrap_err();
            assert_eq!(error.class, FailureClass::MalformedResponse, "{odd}");
            assert_eq!(error.rotated.unwrap().expose(), "new", "{odd}");
        }
    }

    // R31
    #[test]
    fn malformed_members_lose_nothing() {
        let answer = read(&json!({
            "access_token": "a", "refresh_token": "new", "expires_in": {}, "scope": 7,
            "id_token": [], "token_type": null, "ext_expires_in": "x",
        }))
        .unwrap();
        assert_eq!(answer.refresh_token.unwrap().expose(), "new");
        assert!(answer.granted_scopes.is_none() && answer.id_token.is_none());
    }

    // R5
    #[test]
    fn granted_scopes_are_those_of_the_response() {
        let scope = |value: Value| read(&json!({"access_token": "a", "scope": value})).unwrap();
        let expected = Some(ScopeSet::parse("mail openid"));
        assert_eq!(scope(json!("openid mail")).granted_scopes, expected);
        assert_eq!(scope(json!(["mail", "openid"])).granted_scopes, expected);
        assert_eq!(scope(json!("openid,mail")).granted_scopes, expected);
        assert_eq!(scope(json!(["mail openid"])).granted_scopes, expected);
    }

    // RFC 6749 section 5.1: a response without scopes changes none.
    #[test]
    fn an_empty_scope_changes_nothing() {
        for value in [json!(""), json!(" "), json!([]), json!([""]), json!(null)] {
            let answer = read(&json!({"access_token": "a", "scope": value})).unwrap();
            assert_eq!(answer.granted_scopes, None, "{value}");
        }
    }

    #[test]
    fn a_bearer_token_is_accepted_under_each_of_its_names() {
        for kind in [
            json!("Bearer"),
            json!("bearer "),
            json!("BearerToken"),
            json!("bearer_token"),
            json!("urn:ietf:params:oauth:token-type:access_token"),
            json!("access_token"),
            json!("JWT"),
            json!(""),
            json!(null),
        ] {
            let answer = read(&json!({"access_token": "a", "token_type": kind}));
            assert!(answer.is_ok(), "{kind} {answer:?}");
        }
        for (kind, word) in [("mac", "mac"), ("DPoP", "RFC 9449"), ("N_A", "N_A")] {
            let answer = read(&json!({"access_token": "a", "token_type": kind}));
            let told = answer.unwrap_err().description.unwrap();
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_token_has_a_longest_length() {
        let large = "x".repeat(MAX_TOKEN);
        let answer = read(&json!({"access_token": large, "id_token": large})).unwrap();
        assert_eq!(answer.access_token.expose().len(), MAX_TOKEN);
        let larger = "x".repeat(MAX_TOKEN + 1);
        let error = read(&json!({"access_token": larger, "refresh_token": "new"})).unwrap_err();
        assert_eq!(error.code.as_deref(), Some(TOKEN_TOO_LARGE));
        assert_eq!(error.rotated.unwrap().expose(), "new");
        assert!(error.description.unwrap().contains("access_token"));
    }

    #[test]
    fn the_lifetime_of_a_refresh_token_has_several_names() {
        let life = |name: &str, value: Value| {
            let mut answer = json!({"access_token": "a"});
            answer[name] = value;
            let seconds = read(&answer).unwrap().refresh_token_expires_in;
            seconds.map(|life| life.as_secs())
        };
        assert_eq!(life("refresh_expires_in", json!(1800)), Some(1800));
        assert_eq!(life("refresh_token_expires_in", json!("1800")), Some(1800));
        // Keycloak sends this for offline sessions that do not expire.
        assert_eq!(life("refresh_expires_in", json!(0)), None);
        assert_eq!(life("expires_in", json!(60)), None);
    }

    #[test]
    fn a_page_is_not_a_token_response() {
        let error = parse(b"<html>sign in to the proxy</html>").unwrap_err();
        assert_eq!(error.class, FailureClass::MalformedResponse);
    }

    // R35
    #[test]
    fn a_response_does_not_print_its_tokens() {
        let answer = read(
            &json!({"access_token": "s3cret", "refresh_token": "s3cret", "id_token": "s3cret"}),
        );
        assert!(!format!("{answer:?}").contains("s3cret"));
        let error = read(&json!({"refresh_token": "s3cret"})).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            prop::collection::vec(".{0,4}".prop_map(Value::from), 0..3).prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        // R31
        #[test]
        fn a_refresh_token_is_never_lost(
            token in "[!-~]{1,60}",
            others in prop::collection::btree_map(
                "access_token|expires_in|scope|id_token|token_type|[a-z]{1,6}", any_json(), 0..6),
        ) {
            let mut fields: Map<String, Value> = others.into_iter().collect();
            fields.insert("refresh_token".into(), json!(token));
            let found = match read(&Value::Object(fields)) {
                Ok(answer) => answer.refresh_token,
                Err(error) => error.rotated,
            };
            prop_assert_eq!(found.map(|found| found.expose().to_owned()), Some(token));
        }
    }
}
