//! Answers of a token endpoint, read leniently and without loss: a rotated
//! refresh token is never dropped because another field is odd.

use std::time::Duration;

use latchkey_domain::{AccessToken, RefreshToken, ScopeSet};
use serde_json::{Map, Value};

use crate::{Delivery, FailureClass, IdToken, TokenError, TokenResponse, fields, for_log};

/// Largest token that is carried, in bytes: an ID token of a person in thousands of groups
/// has about as much.
pub const MAX_TOKEN: usize = 256 * 1024;
/// `code` of an answer with a token above [`MAX_TOKEN`].
pub const TOKEN_TOO_LARGE: &str = "token_too_large";
/// Ten years: what lives longer is absurd.
const MAX_LIFE_S: f64 = 10.0 * 365.0 * 86_400.0;

/// Reads the body of a success.
pub(crate) fn parse(body: &[u8]) -> Result<TokenResponse, TokenError> {
    let Some(fields) = fields::read(body) else {
        return Err(malformed("the answer is no JSON object", None));
    };
    let refresh_token = token(&fields, "refresh_token").map(RefreshToken::new);
    if let Some(kind) = unsupported_type(&fields) {
        let hint = match kind.to_ascii_lowercase().as_str() {
            "dpop" => ": it is bound to a key (DPoP, RFC 9449), which is not supported",
            _ => "",
        };
        let kind = for_log(kind);
        let problem = format!("the token is no bearer token but {kind}{hint}");
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
            .find_map(|name| life(fields.get(name)?)),
        expires_in: fields.get("expires_in").and_then(|value| {
            let life = life(value);
            if life.is_none() && !value.is_null() {
                tracing::warn!("the provider's expires_in is absurd and is not used");
            }
            life
        }),
        granted_scopes: fields.get("scope").and_then(scopes),
        // Its length and form are judged with the rest of it.
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

/// A token: visible ASCII (RFC 6749 appendix A), so that it fits into a header.
fn token<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str().filter(|text| is_token(text))
}

/// Returns `true` for what can be a token.
pub(crate) fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

fn is_too_large(fields: &Map<String, Value>, name: &str) -> bool {
    let text = fields.get(name).and_then(Value::as_str);
    text.is_some_and(|text| text.len() > MAX_TOKEN)
}

/// How long the refresh token lives: Keycloak; others (GitHub, Google, Intuit).
const REFRESH_LIFETIME_NAMES: [&str; 3] = [
    "refresh_expires_in",
    "refresh_token_expires_in",
    "x_refresh_token_expires_in",
];

/// What providers call a bearer token without the word (RFC 6749 section 7.1): its format,
/// its kind, or the type of RFC 8693.
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

/// The type of the token, if it is plainly not a bearer token. Absent is bearer, as all
/// providers mean it.
fn unsupported_type(fields: &Map<String, Value>) -> Option<&str> {
    let kind = fields.get("token_type")?.as_str()?;
    let word = kind.trim().to_ascii_lowercase();
    let bearer = word.contains("bearer") || BEARER_ALIASES.contains(&word.as_str());
    (!bearer).then_some(kind)
}

/// A number or a text; what is absurd is as good as absent.
fn life(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (1.0..=MAX_LIFE_S)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds.floor()))
}

/// A text with spaces or commas, or a list as some providers send it. One that names
/// none says nothing: the scopes are those of before (RFC 6749 sections 5.1 and 6).
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
    fn a_life_is_a_number_a_text_or_unknown() {
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
    fn a_rotated_token_survives_an_answer_that_is_none() {
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
    fn odd_fields_lose_nothing() {
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
    fn granted_scopes_are_those_that_the_answer_names() {
        let scope = |value: Value| read(&json!({"access_token": "a", "scope": value})).unwrap();
        let expected = Some(ScopeSet::parse("mail openid"));
        assert_eq!(scope(json!("openid mail")).granted_scopes, expected);
        assert_eq!(scope(json!(["mail", "openid"])).granted_scopes, expected);
        assert_eq!(scope(json!("openid,mail")).granted_scopes, expected);
        assert_eq!(scope(json!(["mail openid"])).granted_scopes, expected);
    }

    // RFC 6749 section 5.1: what does not name a scope changes none.
    #[test]
    fn an_empty_scope_says_nothing() {
        for value in [json!(""), json!(" "), json!([]), json!([""]), json!(null)] {
            let answer = read(&json!({"access_token": "a", "scope": value})).unwrap();
            assert_eq!(answer.granted_scopes, None, "{value}");
        }
    }

    #[test]
    fn a_bearer_token_is_taken_by_whichever_name() {
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
    fn a_large_token_is_taken_and_a_larger_one_is_named() {
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
    fn the_life_of_a_refresh_token_is_read_by_all_its_names() {
        let life = |name: &str, value: Value| {
            let mut answer = json!({"access_token": "a"});
            answer[name] = value;
            let seconds = read(&answer).unwrap().refresh_token_expires_in;
            seconds.map(|life| life.as_secs())
        };
        assert_eq!(life("refresh_expires_in", json!(1800)), Some(1800));
        assert_eq!(life("refresh_token_expires_in", json!("1800")), Some(1800));
        // Keycloak's offline sessions without an end.
        assert_eq!(life("refresh_expires_in", json!(0)), None);
        assert_eq!(life("expires_in", json!(60)), None);
    }

    #[test]
    fn a_page_is_no_answer() {
        let error = parse(b"<html>sign in to the proxy</html>").unwrap_err();
        assert_eq!(error.class, FailureClass::MalformedResponse);
    }

    // R35
    #[test]
    fn an_answer_does_not_print_its_tokens() {
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
