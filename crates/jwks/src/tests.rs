use proptest::prelude::*;
use serde_json::json;

use super::*;

const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn set(keys: &Value) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn finds(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> bool {
    !set.candidates(id, algorithm, &|_| true).is_empty()
}

// oidcc-client-test-kid-absent-single-jwks, -multiple-jwks.
#[test]
fn without_an_id_only_a_single_key_fits() {
    let one = json!({"kty": "RSA", "kid": "a", "n": N, "e": "AQAB"});
    let two = json!({"kty": "RSA", "kid": "b", "n": N, "e": "AQAB"});
    let single = set(&json!([one]));
    assert!(finds(&single, None, Algorithm::RS256));
    let multiple = set(&json!([one, two]));
    assert!(!finds(&multiple, None, Algorithm::RS256));
    assert!(finds(&multiple, Some("b"), Algorithm::RS256));
    assert!(!finds(&multiple, Some("c"), Algorithm::RS256));
}

#[test]
fn keys_of_one_id_and_keys_without_one_are_all_tried() {
    let key = |id: Value| json!({"kty": "RSA", "kid": id, "n": N, "e": "AQAB"});
    let bare = json!({"kty": "RSA", "n": N, "e": "AQAB"});
    let count = |keys: Value, id| set(&keys).candidates(id, Algorithm::RS256, &|_| true).len();
    let twice = json!([key(json!("a")), key(json!("a")), key(json!("b"))]);
    assert_eq!(count(twice, Some("a")), 2);
    assert_eq!(count(json!([bare, key(json!("b"))]), Some("a")), 1);
    assert_eq!(count(json!([bare, bare, key(json!("b"))]), None), 2);
    let many: Vec<Value> = (0..50).map(|_| bare.clone()).collect();
    assert_eq!(count(json!(many), Some("a")), MAX_CANDIDATES);
}

// RFC 9864.
#[test]
fn a_key_on_curve_25519_has_two_names() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    for alg in [json!("EdDSA"), json!("Ed25519"), json!(null)] {
        let keys = set(&json!([
            {"kty": "OKP", "crv": "Ed25519", "kid": "a", "alg": alg, "x": x},
        ]));
        assert!(finds(&keys, Some("a"), Algorithm::EdDSA), "{alg}");
    }
    assert_eq!(algorithm_of("Ed25519"), Some(Algorithm::EdDSA));
    assert_eq!(algorithm_of("Ed448"), None);
}

#[test]
fn keys_that_cannot_be_read_are_skipped() {
    let keys = set(&json!([
        7, {}, {"kty": "RSA", "kid": "a"}, {"kty": "future", "kid": "a"},
        {"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"},
        {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "enc", "use": "enc", "n": N, "e": "AQAB"},
        {"kty": "RSA", "kid": "a", "n": N, "e": "AQAB"},
    ]));
    assert_eq!(keys.keys.len(), 1);
    assert!(finds(&keys, Some("a"), Algorithm::RS256));
}

#[test]
fn a_key_serves_its_own_algorithm_only() {
    let keys = set(&json!([{"kty": "RSA", "kid": "a", "alg": "RS256", "n": N, "e": "AQAB"}]));
    for algorithm in [
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::HS256,
        Algorithm::EdDSA,
    ] {
        assert!(!finds(&keys, Some("a"), algorithm), "{algorithm:?}");
    }
}

// A token's header must not choose the algorithm.
#[test]
fn a_key_has_one_algorithm() {
    let rsa = |alg: Value| json!({"kty": "RSA", "kid": "a", "alg": alg, "n": N, "e": "AQAB"});
    let algorithm = |key: Value| set(&json!([key])).keys[0].algorithm();
    assert_eq!(algorithm(rsa(json!(null))), Some(Algorithm::RS256));
    assert_eq!(algorithm(rsa(json!("PS384"))), Some(Algorithm::PS384));
    assert_eq!(algorithm(rsa(json!("ES256"))), None);
    assert_eq!(algorithm(rsa(json!("RSA-OAEP"))), None);
}

#[test]
fn a_key_set_has_bounds() {
    let key = json!({"kty": "RSA", "kid": "a", "n": N, "e": "AQAB"});
    let many: Vec<Value> = (0..=MAX_KEYS).map(|_| key.clone()).collect();
    assert_eq!(set(&json!(many)).keys.len(), MAX_KEYS);
    let large = format!("{{\"keys\":[]}}{}", " ".repeat(MAX_BYTES));
    let refused = KeySet::parse(large.as_bytes()).unwrap_err();
    assert_eq!(refused, InvalidKeySet::TooLarge);
    let refused = |document: &str| KeySet::parse(document.as_bytes()).unwrap_err();
    assert_eq!(refused("<html>"), InvalidKeySet::NotJson);
    assert_eq!(refused("[]"), InvalidKeySet::NoKeys);
    assert_eq!(refused(r#"{"keys":{}}"#), InvalidKeySet::NoKeys);
}

proptest! {
    #[test]
    fn no_key_set_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = KeySet::parse(&body);
    }

    #[test]
    fn no_key_panics(n in ".{0,30}", x in ".{0,30}", crv in "P-256|P-384|Ed25519|x") {
        let _ = set(&json!([
            {"kty": "RSA", "n": n, "e": x},
            {"kty": "EC", "crv": crv, "x": x, "y": n},
            {"kty": "OKP", "crv": crv, "x": x},
        ]));
    }
}
