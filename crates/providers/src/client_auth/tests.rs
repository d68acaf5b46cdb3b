//! R51: what an assertion says, and when it may be made.

use std::cell::RefCell;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use latchkey_config::{ConfigError, Environment};
use latchkey_demo_provider::SigningKey;
use latchkey_signing_keys::generate;
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;
use crate::reader::Reader;

const PREFIX: &str = "AUTH_OIDC_ACME_";

fn credentials(variables: &[(&str, &str)]) -> Result<ClientCredentials, ConfigError> {
    let named = variables
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned()));
    let environment: Environment = named.collect();
    let reader = Reader {
        environment: &environment,
        prefix: PREFIX,
    };
    let read = ClientCredentials::read(&reader);
    read.map_err(|errors| errors.iter().next().unwrap().clone())
}

/// The keys of a client that has these variables.
fn keys(variables: &[(&str, &str)]) -> Arc<ClientKeys> {
    let by_key = [("TOKEN_AUTH_METHOD", "private_key_jwt")];
    let read = credentials(&[&by_key[..], variables].concat()).unwrap();
    match read.authentication {
        Some(ClientAuthentication::PrivateKey(keys)) => keys,
        other => panic!("{other:?}"),
    }
}

fn part(assertion: &ClientAssertion, index: usize) -> Value {
    let part = assertion.expose().split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn statement<'a>(client_id: &'a str, audience: &'a str) -> Statement<'a> {
    Statement {
        client_id,
        audience,
        now: OffsetDateTime::UNIX_EPOCH,
    }
}

// RFC 7523 section 3, OpenID Connect Core section 9.
#[test]
fn an_assertion_names_the_client_and_the_provider_once_and_for_a_short_time() {
    let key = generate(Algorithm::ES256, Some("k1")).unwrap();
    let keys = keys(&[("PRIVATE_KEY", &key)]);
    let seen = RefCell::new(HashSet::new());
    proptest!(|(client in "[ -~]{1,40}", audience in "https://[a-z]{1,20}/[a-z]{0,9}", at in 0_i64..4_000_000_000)| {
        let statement = Statement {
            now: OffsetDateTime::from_unix_timestamp(at).unwrap(),
            ..statement(&client, &audience)
        };
        let assertion = keys.assert(&statement, &[]).unwrap();
        prop_assert_eq!(part(&assertion, 0), json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}));
        let claims = part(&assertion, 1);
        let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        prop_assert_eq!(names.len(), 6, "{:?}", names);
        prop_assert_eq!(&claims["iss"], &json!(client));
        prop_assert_eq!(&claims["sub"], &json!(client));
        prop_assert_eq!(&claims["aud"], &json!(audience));
        prop_assert_eq!(&claims["iat"], &json!(at));
        prop_assert_eq!(&claims["exp"], &json!(at + 60));
        let id = claims["jti"].as_str().unwrap().to_owned();
        prop_assert!(id.len() >= 16);
        prop_assert!(seen.borrow_mut().insert(id), "a jti is there twice");
    });
}

#[test]
fn the_key_decides_the_algorithm_and_rsa_signs_with_either_padding() {
    let rsa = SigningKey::shared_rsa(2).unwrap().to_pem().unwrap();
    let elliptic = SigningKey::ec().unwrap().to_pem().unwrap();
    let edwards = generate(Algorithm::EdDSA, Some("k")).unwrap();
    for (key, configured, used) in [
        (&rsa, "", "RS256"),
        (&rsa, "RS256", "RS256"),
        (&rsa, "PS256", "PS256"),
        (&elliptic, "", "ES256"),
        (&elliptic, "ES256", "ES256"),
        (&edwards, "", "EdDSA"),
    ] {
        let keys = keys(&[("PRIVATE_KEY", key), ("TOKEN_AUTH_SIGNING_ALG", configured)]);
        let assertion = keys.assert(&statement("c", "a"), &[]).unwrap();
        assert_eq!(part(&assertion, 0)["alg"], used);
        // A provider finds the key by this member as well.
        let published = keys.published();
        assert_eq!(published[0].jwk["alg"], used);
        assert_eq!(published[0].jwk["kid"], part(&assertion, 0)["kid"]);
    }
}

#[test]
fn nothing_is_signed_with_an_algorithm_that_the_provider_does_not_announce() {
    let key = generate(Algorithm::ES256, Some("k")).unwrap();
    let keys = keys(&[("PRIVATE_KEY", &key)]);
    let announces = |name: &str| keys.assert(&statement("c", "a"), &[name.to_owned()]);
    assert!(announces("ES256").is_ok());
    let refused = announces("PS256").unwrap_err();
    assert_eq!(refused, AssertionError::Algorithm("ES256".to_owned()));
}

#[test]
fn the_first_key_signs_and_all_are_published_under_their_ids() {
    let (new, old) = (SigningKey::ec().unwrap(), SigningKey::ec().unwrap());
    let both = format!("{}{}", new.to_pem().unwrap(), old.to_pem().unwrap());
    let of_their_own = keys(&[("PRIVATE_KEY", &both)]).published();
    assert_eq!(of_their_own.len(), 2);
    assert_ne!(of_their_own[0].id, of_their_own[1].id);
    let keys = keys(&[("PRIVATE_KEY", &both), ("PRIVATE_KEY_ID", "new,old")]);
    let published = keys.published();
    let ids: Vec<(&str, bool)> = published
        .iter()
        .map(|key| (key.id.as_str(), key.signs))
        .collect();
    assert_eq!(ids, [("new", true), ("old", false)]);
    assert_eq!(published[0].jwk["x"], new.jwk()["x"]);
    assert!(published.iter().all(|key| key.jwk.get("d").is_none()));
    let assertion = keys.assert(&statement("c", "a"), &[]).unwrap();
    assert_eq!(part(&assertion, 0)["kid"], "new");
}

// Entra finds a key by its certificate.
#[test]
fn an_assertion_names_the_certificate_of_its_key() {
    let (own, other) = (SigningKey::ec().unwrap(), SigningKey::ec().unwrap());
    let certificate = |key: &SigningKey| {
        let der = [b"before".as_slice(), &key.public_bytes(), b"after"].concat();
        let text = STANDARD.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        (der, pem)
    };
    let (der, pem) = certificate(&own);
    let (_, foreign) = certificate(&other);
    let key = own.to_pem().unwrap();
    for file in [format!("{key}{pem}"), format!("{foreign}{pem}{key}")] {
        let keys = keys(&[("PRIVATE_KEY", &file)]);
        let assertion = keys.assert(&statement("c", "a"), &[]).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        let named = part(&assertion, 0)["x5t#S256"].clone();
        assert_eq!(named, URL_SAFE_NO_PAD.encode(digest));
    }
    let refused = credentials(&[
        ("TOKEN_AUTH_METHOD", "private_key_jwt"),
        ("PRIVATE_KEY", &format!("{key}{foreign}")),
    ]);
    let refused = refused.unwrap_err();
    assert!(refused.problem.contains("not one for each"), "{refused}");
}

#[test]
fn a_secret_is_allowed_only_where_its_method_is_announced() {
    let all = |method: &ClientAuthentication, names: &[&str]| {
        let methods: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        method.is_allowed(&methods, None)
    };
    let basic = ClientAuthentication::Basic;
    let post = ClientAuthentication::Post;
    let mac = ClientAuthentication::SecretJwt(Algorithm::HS256);
    for method in [&basic, &post, &mac] {
        assert!(all(method, &[method.method()]));
        assert!(!all(method, &["tls_client_auth", "private_key_jwt"]));
    }
    // A provider that announces nothing knows client_secret_basic (Discovery section 3).
    assert!(all(&basic, &[]) && !all(&post, &[]) && !all(&mac, &[]));
    assert!(post.is_allowed(&[], Some(ClientAuthentication::DOCUMENTED)));
    assert!(!mac.is_allowed(&[], Some(ClientAuthentication::DOCUMENTED)));
    assert!(all(
        &ClientAuthentication::PublicClient,
        &["private_key_jwt"]
    ));
}

#[test]
fn nothing_of_an_assertion_or_a_key_is_printed() {
    let key = generate(Algorithm::ES256, Some("k1")).unwrap();
    let variables = [
        ("TOKEN_AUTH_METHOD", "private_key_jwt"),
        ("PRIVATE_KEY", key.as_str()),
    ];
    let read = credentials(&variables).unwrap();
    let printed = format!("{read:?}");
    assert!(printed.contains("k1"), "{printed}");
    let (_, secret) = key.split_once(':').unwrap();
    assert!(!printed.contains(secret), "{printed}");
    let assertion = keys(&variables[1..]).assert(&statement("c", "a"), &[]);
    assert_eq!(format!("{:?}", assertion.unwrap()), "ClientAssertion");
}

#[test]
fn only_a_signed_jwt_is_sent_as_it_stands() {
    assert!(ClientAssertion::parse("aa.bb.c_-\n").is_some());
    for text in ["", "s3cret", "a.b", "a..c", "a.b.c.d", "a b.c.d", "{}.b.c"] {
        assert!(ClientAssertion::parse(text).is_none(), "{text}");
    }
}
