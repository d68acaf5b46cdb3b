//! R51: each method of client authentication at a provider that accepts no other one, and no
//! secret for a provider that does not announce the method.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_demo_provider::{Endpoint, Fault, Flavour, SigningKey};
use latchkey_domain::{Clock as _, RefreshToken};
use latchkey_providers::{Delivery, FailureClass, ProviderError, Revocation};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{World, world};

const METHOD: &str = "AUTH_OIDC_DEMO_TOKEN_AUTH_METHOD";
const BY_KEY: (&str, &str) = (METHOD, "private_key_jwt");
const KEY: &str = "AUTH_OIDC_DEMO_PRIVATE_KEY";
const ALGORITHM: &str = "AUTH_OIDC_DEMO_TOKEN_AUTH_SIGNING_ALG";
const NO_SECRET: (&str, &str) = ("AUTH_OIDC_DEMO_CLIENT_SECRET", "");
const LONG_SECRET: &str = "a-secret-of-more-than-thirty-two-characters";
const FEDERATED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJjbHVzdGVyIn0.c2lnbmF0dXJl";

/// Sign-in, refresh and revocation, by a client that authenticates only with this method.
async fn authenticates(world: &World, method: &str) {
    let tokens = world.tokens("demo").await;
    world.verify("demo", &tokens).await.unwrap();
    let provider = world.provider("demo");
    let refreshed = provider.refresh(&tokens.refresh_token.unwrap()).await;
    let token = refreshed.unwrap().refresh_token.unwrap();
    let revoked = provider.revoke(&token).await.unwrap();
    assert_eq!(revoked, Revocation::Confirmed);
    let counter = format!("oidc.client.{method}");
    assert_eq!(world.demo.counter(&counter), 2, "{method}");
}

/// Registers the public keys of a client at the provider, as `latchkey client-keys` prints
/// them.
fn register(world: &World) {
    let jwks = world.registry.client_jwks();
    world
        .demo
        .change(|settings| settings.client_jwks = Some(jwks));
}

/// A world whose client authenticates with this key.
async fn with_key(key: &SigningKey, more: &[(&str, &str)]) -> World {
    let pem = key.to_pem().unwrap();
    let variables = [&[BY_KEY, NO_SECRET, (KEY, pem.as_str())][..], more].concat();
    let world = world(&variables).await;
    register(&world);
    world
}

fn announce(world: &World, methods: &[&str]) {
    let methods = json!(methods);
    world.demo.change(|settings| {
        let name = "token_endpoint_auth_methods_supported";
        settings.discovery.insert(name.to_owned(), methods);
    });
}

#[tokio::test]
async fn the_client_authenticates_by_the_configured_method() {
    for method in ["client_secret_basic", "client_secret_post"] {
        let world = world(&[(METHOD, method)]).await;
        authenticates(&world, method).await;
    }
    let public = world(&[(METHOD, "none"), NO_SECRET]).await;
    public.demo.change(|settings| settings.public_client = true);
    authenticates(&public, "none").await;

    let mac = world(&[
        (METHOD, "client_secret_jwt"),
        ("AUTH_OIDC_DEMO_CLIENT_SECRET", LONG_SECRET),
    ])
    .await;
    mac.demo.change(|settings| {
        settings.client_secret_jwt = true;
        settings.client_secrets = vec![LONG_SECRET.to_owned()];
    });
    authenticates(&mac, "client_secret_jwt").await;

    let (elliptic, rsa) = (
        SigningKey::ec().unwrap(),
        SigningKey::shared_rsa(2).unwrap(),
    );
    for (key, more) in [
        (
            &elliptic,
            &[("AUTH_OIDC_DEMO_PRIVATE_KEY_ID", "client-key")][..],
        ),
        (&rsa, &[][..]),
        (&rsa, &[(ALGORITHM, "PS256")][..]),
    ] {
        let world = with_key(key, more).await;
        authenticates(&world, "private_key_jwt").await;
    }
}

// OpenID Connect Core section 9 names the token endpoint, RFC 7523 section 3 the issuer as
// well.
#[tokio::test]
async fn the_audience_of_an_assertion_is_the_one_that_the_provider_wants() {
    const AUDIENCE: &str = "AUTH_OIDC_DEMO_TOKEN_AUTH_AUDIENCE";
    let key = SigningKey::ec().unwrap();
    for (configured, wants_issuer) in [("token_endpoint", false), ("issuer", true)] {
        let world = with_key(&key, &[(AUDIENCE, configured)]).await;
        let issuer = world.demo.issuer(Flavour::Oidc);
        let endpoint = format!("{issuer}/token");
        let (right, wrong) = if wants_issuer {
            (issuer, endpoint)
        } else {
            (endpoint, issuer)
        };
        let only = |audience: &str| {
            let audience = Some(audience.to_owned());
            world
                .demo
                .change(|settings| settings.client_assertion_audience = audience);
        };
        only(&wrong);
        let refused = world
            .provider("demo")
            .refresh(&RefreshToken::new("x"))
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.class, FailureClass::ClientMisconfigured);
        only(&right);
        authenticates(&world, "private_key_jwt").await;
    }
}

#[tokio::test]
async fn neither_secret_nor_key_reaches_a_provider_that_does_not_announce_the_method() {
    let pem = SigningKey::ec().unwrap().to_pem().unwrap();
    let secret = ("AUTH_OIDC_DEMO_CLIENT_SECRET", LONG_SECRET);
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, FEDERATED).unwrap();
    let file = token.to_str().unwrap();
    let file = ("AUTH_OIDC_DEMO_CLIENT_ASSERTION_FILE", file);
    let cases: [(&str, Vec<(&str, &str)>); 5] = [
        ("client_secret_basic", vec![secret]),
        ("client_secret_post", vec![secret]),
        ("client_secret_jwt", vec![secret]),
        ("private_key_jwt", vec![NO_SECRET, (KEY, pem.as_str())]),
        ("private_key_jwt", vec![NO_SECRET, file]),
    ];
    for (method, more) in cases {
        let world = world(&[&[(METHOD, method)][..], &more[..]].concat()).await;
        announce(&world, &["tls_client_auth"]);
        let provider = world.provider("demo");
        let token = RefreshToken::new("whatever");
        let refused = provider.refresh(&token).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::ClientMisconfigured);
        assert_eq!(refused.delivery, Delivery::NotSent, "{method}");
        let refused = provider.revoke(&token).await.unwrap_err();
        assert_eq!(refused.delivery, Delivery::NotSent, "{method}");
        for endpoint in [Endpoint::Token, Endpoint::Revocation] {
            assert_eq!(world.demo.count(Flavour::Oidc, endpoint), 0, "{method}");
        }
        // The start says it in one line.
        let limit = Duration::from_secs(20);
        let line = world.registry.refuse_unsupported(limit).await.unwrap_err();
        assert_eq!(line.name, "AUTH_OIDC_DEMO_ISSUER");
        for word in [method, "tls_client_auth", "TOKEN_AUTH_METHOD"] {
            assert!(line.problem.contains(word), "{line}");
        }
    }
}

#[tokio::test]
async fn an_algorithm_that_the_provider_does_not_announce_is_named() {
    let key = SigningKey::ec().unwrap();
    let world = with_key(&key, &[]).await;
    world.demo.change(|settings| {
        let name = "token_endpoint_auth_signing_alg_values_supported";
        settings.discovery.insert(name.to_owned(), json!(["PS256"]));
    });
    let refused = world.provider("demo").discover().await.unwrap_err();
    assert!(matches!(refused, ProviderError::Unsupported(_)));
    for word in ["PS256", "ES256", "TOKEN_AUTH_SIGNING_ALG"] {
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

#[tokio::test]
async fn a_federated_token_is_sent_as_it_stands_and_read_for_every_use() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    let write = |text: &str| std::fs::write(&token, text).unwrap();
    write(&format!("{FEDERATED}\n"));
    let path = token.to_str().unwrap();
    for (name, flavour, prefix) in [
        ("demo", "oidc", "AUTH_OIDC_DEMO"),
        ("microsoft", "microsoft", "AUTH_MICROSOFT"),
    ] {
        write(FEDERATED);
        let world = world(&[
            (&format!("{prefix}_CLIENT_SECRET"), ""),
            (&format!("{prefix}_CLIENT_ASSERTION_FILE"), path),
        ])
        .await;
        let accept = |text: &str| {
            let accepted = vec![text.to_owned()];
            world
                .demo
                .change(|settings| settings.client_assertions = accepted);
        };
        accept(FEDERATED);
        let tokens = world.tokens(name).await;
        let provider = world.provider(name);
        // The cluster replaces the token.
        let next = FEDERATED.replace("c2ln", "bmV4");
        accept(&next);
        write(&next);
        let refreshed = provider.refresh(&tokens.refresh_token.unwrap()).await;
        let token = refreshed.unwrap().refresh_token.unwrap();
        let counter = format!("{flavour}.client.private_key_jwt");
        assert_eq!(world.demo.counter(&counter), 2);
        // Nothing but a token is sent.
        write("s3cret");
        let refused = provider.refresh(&token).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::ClientMisconfigured);
        assert_eq!(refused.delivery, Delivery::NotSent);
        let description = refused.description.unwrap();
        assert!(
            description.contains("CLIENT_ASSERTION_FILE"),
            "{description}"
        );
        assert!(!description.contains("s3cret"), "{description}");
        write(&next);
        provider.refresh(&token).await.unwrap();
    }
}

// R35
#[tokio::test]
async fn a_provider_that_repeats_the_assertion_puts_it_into_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, FEDERATED).unwrap();
    let path = token.to_str().unwrap();
    let world = world(&[NO_SECRET, ("AUTH_OIDC_DEMO_CLIENT_ASSERTION_FILE", path)]).await;
    let body = json!({"error": "invalid_client", "error_description": format!("bad {FEDERATED}")});
    for endpoint in [Endpoint::Token, Endpoint::Revocation] {
        world
            .demo
            .inject(Fault::on(endpoint).answering(401, body.to_string()));
    }
    let provider = world.provider("demo");
    let token = RefreshToken::new("whatever");
    let refresh = provider.refresh(&token).await.unwrap_err();
    let revocation = provider.revoke(&token).await.unwrap_err();
    for error in [refresh, revocation] {
        assert_eq!(error.description.as_deref(), Some("bad [redacted]"));
        assert!(!format!("{error:?}").contains(FEDERATED));
    }
}

fn replace(path: &Path, keys: &[&SigningKey]) {
    let pems: String = keys.iter().map(|key| key.to_pem().unwrap()).collect();
    let next = path.with_extension("next");
    std::fs::write(&next, pems).unwrap();
    std::fs::rename(&next, path).unwrap();
}

#[tokio::test]
async fn a_key_file_that_changes_is_used_and_one_that_is_broken_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let (old, new) = (SigningKey::ec().unwrap(), SigningKey::ec().unwrap());
    replace(&file, &[&old]);
    let path = file.to_str().unwrap();
    let file_of_key = ("AUTH_OIDC_DEMO_PRIVATE_KEY_FILE", path);
    let world = world(&[BY_KEY, NO_SECRET, file_of_key]).await;
    register(&world);
    let stop = CancellationToken::new();
    let watch = tokio::spawn(world.registry.clone().watch_client_keys(stop.clone()));
    authenticates(&world, "private_key_jwt").await;

    let published = || {
        world.registry.client_jwks()["keys"]
            .as_array()
            .unwrap()
            .len()
    };
    let publishes = async |keys: usize| {
        tokio::time::timeout(Duration::from_mins(1), async {
            while published() != keys {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .unwrap();
    };
    replace(&file, &[&new, &old]);
    publishes(2).await;
    register(&world);
    world.demo.forget_counters();
    authenticates(&world, "private_key_jwt").await;
    let keys = world.provider("demo").client_keys();
    assert_eq!(keys[0].jwk["x"], new.jwk()["x"]);
    assert!(keys[0].signs && !keys[1].signs);

    std::fs::write(&file, "s3cret").unwrap();
    // Longer than the file is left unread.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(published(), 2);
    replace(&file, &[&new]);
    publishes(1).await;
    stop.cancel();
    watch.await.unwrap();
}

// RFC 7523 section 3, rule 7: the demo provider that these tests rely on.
#[tokio::test]
async fn the_demo_provider_takes_an_assertion_once() {
    let key = SigningKey::ec().unwrap();
    let world = with_key(&key, &[]).await;
    let kid = world.registry.client_jwks()["keys"][0]["kid"].clone();
    let issuer = world.demo.issuer(Flavour::Oidc);
    let client = world.demo.client_id();
    let now = world.clock.now().unix_timestamp();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({"alg": "ES256", "kid": kid}));
    let claims = encode(json!({
        "iss": client, "sub": client, "aud": issuer, "jti": "one", "iat": now, "exp": now + 60,
    }));
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap());
    let assertion = format!("{message}.{signature}");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "unknown"),
        ("client_assertion", assertion.as_str()),
    ];
    for expected in ["invalid_grant", "invalid_client"] {
        let client = reqwest::Client::builder().no_proxy();
        let request = client
            .build()
            .unwrap()
            .post(format!("{issuer}/token"))
            .form(&form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["error"], expected);
    }
}
