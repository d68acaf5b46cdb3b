use auth_svc::session::keys::generate;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::{PUBLIC, SIGNING_KEY, TestApp};

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Verifies a token as another service does: only with the published keys, and with
/// cryptographic primitives instead of a library.
fn verifies(token: &str, jwks: &Value) -> bool {
    let kid = &part(token, 0)["kid"];
    let key = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == *kid);
    let Some(key) = key else { return false };
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    if key["alg"] == "RS256" {
        let (n, e) = (bytes("n"), bytes("e"));
        return RsaPublicKeyComponents { n: &n, e: &e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
            .is_ok();
    }
    let (algorithm, public): (&'static dyn VerificationAlgorithm, Vec<u8>) =
        match key["alg"].as_str().unwrap() {
            "EdDSA" => (&ED25519, bytes("x")),
            "ES256" => (
                &ECDSA_P256_SHA256_FIXED,
                [vec![4], bytes("x"), bytes("y")].concat(),
            ),
            other => panic!("{other}"),
        };
    UnparsedPublicKey::new(algorithm, public)
        .verify(message.as_bytes(), &signature)
        .is_ok()
}

// R14
#[tokio::test]
async fn any_service_verifies_an_access_token_with_the_published_keys() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let me = browser.me().await.unwrap();
    let token = browser.access_token().await;
    let response = app.browser().get("/.well-known/jwks.json").await;
    assert_eq!(response.headers["content-type"], "application/jwk-set+json");
    assert_eq!(response.headers["access-control-allow-origin"], "*");
    let jwks = response.json();
    assert!(verifies(&token, &jwks));
    // RFC 8037 appendix A.
    assert_eq!(
        jwks["keys"][0]["x"],
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    );
    assert_eq!(jwks["keys"][0].get("d"), None);

    let header = part(&token, 0);
    assert_eq!(
        header,
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "test" })
    );
    let claims = part(&token, 1);
    assert_eq!(claims["iss"], PUBLIC);
    assert_eq!(claims["aud"], PUBLIC);
    assert_eq!(claims["sub"], me["userId"]);
    assert_eq!(claims["sid"], me["sessionId"]);
    assert_eq!(claims["workspace"], me["workspaceId"]);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1799..=1800).contains(&life), "{life}");
    assert_ne!(part(&browser.access_token().await, 1)["jti"], claims["jti"]);
}

// R14
#[tokio::test]
async fn with_the_issuer_alone_a_gateway_finds_the_keys_and_verifies() {
    let app = TestApp::start().await;
    let key = generate(Algorithm::RS256, Some("rsa")).unwrap();
    let signing = app.replica(&[("SESSION_SIGNING_KEYS", &format!("{key},{SIGNING_KEY}"))]);
    let token = app.signed_in("ada").await.at(&signing).access_token().await;
    assert_eq!(part(&token, 0)["alg"], "RS256");
    let mut gateway = app.browser().at(&signing);
    for path in ["oauth-authorization-server", "openid-configuration"] {
        let response = gateway.get(&format!("/.well-known/{path}")).await;
        assert_eq!(response.headers["content-type"], "application/json");
        let metadata = response.json();
        assert_eq!(metadata["issuer"], part(&token, 1)["iss"]);
        assert_eq!(
            metadata["id_token_signing_alg_values_supported"],
            json!(["RS256", "EdDSA"])
        );
        let keys = metadata["jwks_uri"].as_str().unwrap();
        let keys = keys.strip_prefix(PUBLIC).unwrap();
        assert!(verifies(&token, &gateway.get(keys).await.json()));
    }
}

// R14
#[tokio::test]
async fn tokens_of_the_old_key_stay_valid_after_a_rotation() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let old = browser.access_token().await;

    // First the new key is published, then it signs, then the old key is removed.
    let new_key = generate(Algorithm::ES256, Some("new")).unwrap();
    let published = app.replica(&[("SESSION_SIGNING_KEYS", &format!("{SIGNING_KEY},{new_key}"))]);
    let signing = app.replica(&[("SESSION_SIGNING_KEYS", &format!("{new_key},{SIGNING_KEY}"))]);
    let alone = app.replica(&[("SESSION_SIGNING_KEYS", &new_key)]);

    let new = browser.clone().at(&signing).access_token().await;
    assert_eq!(part(&new, 0)["alg"], "ES256");
    for (base, expected) in [
        (&published, [true, true]),
        (&signing, [true, true]),
        (&alone, [false, true]),
    ] {
        let jwks = app
            .browser()
            .at(base)
            .get("/.well-known/jwks.json")
            .await
            .json();
        for (token, expected) in [&old, &new].into_iter().zip(expected) {
            assert_eq!(verifies(token, &jwks), expected);
            let mut bearer = app.browser().at(base);
            bearer.headers = vec![("authorization", format!("Bearer {token}"))];
            assert_eq!(bearer.me().await.is_some(), expected);
        }
    }
}

// R14, RP6
#[tokio::test]
async fn a_forged_access_token_is_refused() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let token = browser.access_token().await;
    let (claims, signature) = token.split_once('.').unwrap().1.split_once('.').unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header =
        |typ: &str, alg: &str, kid: &str| encode(&json!({ "typ": typ, "alg": alg, "kid": kid }));
    let mut other = part(&token, 1);
    other["sub"] = json!("00000000-0000-0000-0000-000000000000");
    for forged in [
        format!("{}.{claims}.", header("at+jwt", "none", "test")),
        format!("{}.{claims}.{signature}", header("at+jwt", "HS256", "test")),
        format!(
            "{}.{claims}.{signature}",
            header("at+jwt", "EdDSA", "other")
        ),
        format!("{}.{claims}.{signature}", header("JWT", "EdDSA", "test")),
        format!(
            "{}.{}.{signature}",
            header("at+jwt", "EdDSA", "test"),
            encode(&other)
        ),
    ] {
        let mut bearer = app.browser();
        bearer.headers = vec![("authorization", format!("Bearer {forged}"))];
        assert_eq!(bearer.me().await, None, "{forged}");
    }
}
