//! R51: sign-ins by a client that authenticates with a key, a MAC, a federated token or not
//! at all, at a provider that accepts nothing else. The first two are modules of the OpenID
//! Foundation's suite (`oidcc-client-test` with `client_auth_type`).

use std::path::Path;
use std::sync::Arc;

use auth_svc::Application;
use auth_svc::session::keys::generate;
use jsonwebtoken::Algorithm;
use latchkey_config::Environment;
use latchkey_demo_provider::{Decision, Endpoint, Flavour};
use latchkey_domain::SystemClock;
use latchkey_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{APP, TestApp, latchkey};

const METHOD: &str = "AUTH_OIDC_DEMO_TOKEN_AUTH_METHOD";
const BY_KEY: (&str, &str) = (METHOD, "private_key_jwt");
const NO_SECRET: (&str, &str) = ("AUTH_OIDC_DEMO_CLIENT_SECRET", "");
const KEY_FILE: &str = "AUTH_OIDC_DEMO_PRIVATE_KEY_FILE";
const JWKS: &str = "/.well-known/client-jwks.json";

/// Ada signs in at the OpenID provider, and the client authenticated by this method.
async fn ada_signs_in(app: &TestApp, method: &str) {
    let mut browser = app.browser();
    let decision = Decision::allow("ada");
    let response = app
        .run_flow(&mut browser, "/auth/oidc/demo", &decision)
        .await;
    assert_eq!(response.location(), APP, "{}", response.body);
    let counter = format!("oidc.client.{method}");
    assert!(app.demo.counter(&counter) > 0, "{method}");
}

/// The provider fetches the keys of the client from this deployment.
fn register_address(app: &TestApp) {
    let address = Some(format!("{}{JWKS}", app.base));
    app.demo
        .change(|settings| settings.client_jwks_uri = address);
}

async fn published(app: &TestApp) -> Vec<Value> {
    let response = app.browser().get(JWKS).await;
    response.json()["keys"].as_array().unwrap().clone()
}

/// Replaces a file at once, as Kubernetes does.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, path).unwrap();
}

// R51
#[tokio::test]
async fn oidcc_client_test_private_key_jwt() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    for (algorithm, configured) in [
        (Algorithm::ES256, "ES256"),
        (Algorithm::RS256, "RS256"),
        (Algorithm::RS256, "PS256"),
    ] {
        std::fs::write(&file, generate(algorithm, Some("client-key")).unwrap()).unwrap();
        let app = TestApp::start_with(&[
            BY_KEY,
            NO_SECRET,
            (KEY_FILE, file.to_str().unwrap()),
            ("AUTH_OIDC_DEMO_TOKEN_AUTH_SIGNING_ALG", configured),
        ])
        .await;
        register_address(&app);
        ada_signs_in(&app, "private_key_jwt").await;
        assert_eq!(published(&app).await[0]["alg"], configured);
    }
}

// R51
#[tokio::test]
async fn oidcc_client_test_client_secret_jwt() {
    let secret = "a-secret-of-more-than-thirty-two-characters";
    let app = TestApp::start_with(&[
        (METHOD, "client_secret_jwt"),
        ("AUTH_OIDC_DEMO_CLIENT_SECRET", secret),
    ])
    .await;
    app.demo.change(|settings| {
        settings.client_secret_jwt = true;
        settings.client_secrets = vec![secret.to_owned()];
    });
    ada_signs_in(&app, "client_secret_jwt").await;
}

// R51
#[tokio::test]
async fn a_public_client_and_a_federated_one_sign_people_in() {
    let app = TestApp::start_with(&[(METHOD, "none"), NO_SECRET]).await;
    app.demo.change(|settings| settings.public_client = true);
    ada_signs_in(&app, "none").await;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJjbHVzdGVyIn0.c2lnbmF0dXJl";
    std::fs::write(&file, token).unwrap();
    let path = file.to_str().unwrap();
    let assertion = ("AUTH_OIDC_DEMO_CLIENT_ASSERTION_FILE", path);
    let app = TestApp::start_with(&[NO_SECRET, assertion]).await;
    app.demo
        .change(|settings| settings.client_assertions = vec![token.to_owned()]);
    ada_signs_in(&app, "private_key_jwt").await;
}

// R51
#[tokio::test]
async fn a_key_is_rotated_by_its_file_and_both_are_published_meanwhile() {
    let [old, new] = ["old", "new"].map(|id| generate(Algorithm::ES256, Some(id)).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    std::fs::write(&file, &old).unwrap();
    let key_file = (KEY_FILE, file.to_str().unwrap());
    let app = TestApp::start_with(&[BY_KEY, NO_SECRET, key_file]).await;
    register_address(&app);
    ada_signs_in(&app, "private_key_jwt").await;
    for (keys, ids) in [
        (format!("{old},{new}"), &["old", "new"][..]),
        (format!("{new},{old}"), &["new", "old"][..]),
        (new.clone(), &["new"][..]),
    ] {
        replace(&file, &keys);
        eventually("the keys of the file are published", async || {
            let published = published(&app).await;
            let published: Vec<&str> = published
                .iter()
                .filter_map(|key| key["kid"].as_str())
                .collect();
            published == ids
        })
        .await;
        ada_signs_in(&app, "private_key_jwt").await;
    }
    assert_eq!(app.demo.counter("client_key.old"), 2);
    assert_eq!(app.demo.counter("client_key.new"), 2);
}

// R51
#[tokio::test(flavor = "multi_thread")]
async fn the_public_keys_are_published_and_printed_and_private_ones_are_not() {
    let key = generate(Algorithm::ES256, Some("client-key")).unwrap();
    let variables = [
        BY_KEY,
        NO_SECRET,
        ("AUTH_OIDC_DEMO_PRIVATE_KEY", key.as_str()),
    ];
    let app = TestApp::start_with(&variables).await;
    let response = app.browser().get(JWKS).await;
    assert_eq!(response.headers["content-type"], "application/jwk-set+json");
    let keys = response.json();
    assert_eq!(keys["keys"][0]["kid"], "client-key");
    for private in ["d", "p", "q"] {
        assert_eq!(keys["keys"][0].get(private), None);
    }
    let all = app.variables(&[]);
    let own: Vec<(&str, String)> = all
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let (_, text) = latchkey(&["client-keys"], &own);
    for word in ["client-key ES256 signs", JWKS, "\"kty\": \"EC\""] {
        assert!(text.contains(word), "{text}");
    }
    let (_, text) = latchkey(&["--json", "client-keys"], &own);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), keys);
    // Without a key there is an empty set.
    let app = TestApp::start().await;
    assert_eq!(published(&app).await, Vec::<Value>::new());
}

// R51
#[tokio::test]
async fn a_provider_that_does_not_announce_the_method_is_named_at_the_start_and_gets_nothing() {
    let key = generate(Algorithm::ES256, Some("client-key")).unwrap();
    let app = TestApp::start().await;
    app.demo.change(|settings| {
        let name = "token_endpoint_auth_methods_supported".to_owned();
        let methods = json!(["client_secret_basic"]);
        settings.discovery.insert(name, methods);
    });
    let variables = app.variables(&[
        BY_KEY,
        NO_SECRET,
        ("AUTH_OIDC_DEMO_PRIVATE_KEY", key.as_str()),
    ]);
    let environment: Environment = variables.into_iter().collect();
    let application = Application::build_at(&environment, Arc::new(SystemClock)).unwrap();
    let refused = application.check_providers().await.unwrap_err().to_string();
    for word in [
        "AUTH_OIDC_DEMO_ISSUER",
        "client_secret_basic",
        "private_key_jwt",
        "TOKEN_AUTH_METHOD",
    ] {
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Token), 0);
}
