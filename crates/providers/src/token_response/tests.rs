use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(value: &Value) -> Result<TokenResponse, TokenError> {
    parse(value.to_string().as_bytes())
}

// R31, WP1.
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
    let answer =
        read(&json!({"access_token": "s3cret", "refresh_token": "s3cret", "id_token": "s3cret"}));
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
