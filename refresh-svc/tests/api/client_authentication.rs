//! R51: refresh and revocation by a client that authenticates with a key, a MAC, a federated
//! token or not at all, at a provider that accepts nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::Algorithm;
use latchkey_demo_provider::{Endpoint, Flavour, Settings};
use latchkey_signing_keys::{SigningKeys, generate};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{World, eventually, logged, refusal};

const METHOD: &str = "AUTH_OIDC_DEMO_TOKEN_AUTH_METHOD";
const SECRET: &str = "AUTH_OIDC_DEMO_CLIENT_SECRET";
const LONG_SECRET: &str = "a-secret-of-more-than-thirty-two-characters";
const KEY_FILE: &str = "AUTH_OIDC_DEMO_PRIVATE_KEY_FILE";
const ASSERTION_FILE: &str = "AUTH_OIDC_DEMO_CLIENT_ASSERTION_FILE";
const FEDERATED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJyZWZyZXNoIn0.c2lnbmF0dXJl";

/// Replaces a file at once, as Kubernetes does.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, path).unwrap();
}

/// The public keys of a list of keys.
fn jwks(keys: &str) -> Value {
    keys.parse::<SigningKeys>().unwrap().jwks()
}

/// A token is refreshed and the account is revoked, and the client authenticated both times
/// by this method.
async fn refreshes_and_revokes(
    method: &str,
    variables: &[(&str, &str)],
    accept: impl FnOnce(&mut Settings),
) {
    let mut world = World::new().await;
    for (name, value) in variables {
        world = world.with(name, value);
    }
    world.demo.change(accept);
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    let token = client.get(account.id).await.unwrap();
    assert_eq!(token.version, 2, "{method}");
    let counter = format!("oidc.client.{method}");
    assert_eq!(world.demo.counter(&counter), 1, "{method}");
    // The provider answers only a client that has authenticated.
    let stored = world.stored_refresh_token(&account).await;
    assert!(client.revoke(account.id).await.unwrap(), "{method}");
    assert!(!world.demo.refresh_token_works(&stored), "{method}");
}

// R51
#[tokio::test]
async fn each_method_of_client_authentication_refreshes_and_revokes() {
    for method in ["client_secret_basic", "client_secret_post"] {
        refreshes_and_revokes(method, &[(METHOD, method)], |_| ()).await;
    }
    let public = [(METHOD, "none"), (SECRET, "")];
    refreshes_and_revokes("none", &public, |settings| settings.public_client = true).await;
    let mac = [(METHOD, "client_secret_jwt"), (SECRET, LONG_SECRET)];
    refreshes_and_revokes("client_secret_jwt", &mac, |settings| {
        settings.client_secret_jwt = true;
        settings.client_secrets = vec![LONG_SECRET.to_owned()];
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let path = file.to_str().unwrap();
    let key = generate(Algorithm::ES256, Some("key")).unwrap();
    std::fs::write(&file, &key).unwrap();
    let by_key = [(METHOD, "private_key_jwt"), (SECRET, ""), (KEY_FILE, path)];
    refreshes_and_revokes("private_key_jwt", &by_key, |settings| {
        settings.client_jwks = Some(jwks(&key));
    })
    .await;
    std::fs::write(&file, FEDERATED).unwrap();
    let federated = [(SECRET, ""), (ASSERTION_FILE, path)];
    refreshes_and_revokes("private_key_jwt", &federated, |settings| {
        settings.client_assertions = vec![FEDERATED.to_owned()];
    })
    .await;
    // R35
    let log = logged();
    for secret in [FEDERATED, LONG_SECRET, "client_assertion=ey"] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
}

// R51
#[tokio::test]
async fn a_provider_that_does_not_announce_the_method_gets_neither_secret_nor_key() {
    let world = World::uncached().await;
    let key = generate(Algorithm::ES256, Some("key")).unwrap();
    let world = world
        .with(METHOD, "private_key_jwt")
        .with(SECRET, "")
        .with("AUTH_OIDC_DEMO_PRIVATE_KEY", &key);
    world.demo.change(|settings| {
        settings.client_jwks = Some(jwks(&key));
        let name = "token_endpoint_auth_methods_supported".to_owned();
        let methods = json!(["client_secret_basic"]);
        settings.discovery.insert(name, methods);
    });
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    let refused = refusal(client.get(account.id).await);
    assert_eq!(refused.reason, "CLIENT_MISCONFIGURED");
    assert!(!client.revoke(account.id).await.unwrap());
    for endpoint in [Endpoint::Token, Endpoint::Revocation] {
        assert_eq!(world.demo.count(Flavour::Oidc, endpoint), 0);
    }
}

// R51
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_under_calls_without_a_failed_refresh() {
    const ACCOUNTS: usize = 4;
    let [old, new] = ["old", "new"].map(|id| generate(Algorithm::ES256, Some(id)).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    std::fs::write(&file, &old).unwrap();
    let world = World::new()
        .await
        .with(METHOD, "private_key_jwt")
        .with(SECRET, "")
        .with(KEY_FILE, file.to_str().unwrap());
    let register = |keys: &str| {
        let keys = jwks(keys);
        world
            .demo
            .change(|settings| settings.client_jwks = Some(keys));
    };
    register(&old);
    world.callers_force_without_a_bound().await;
    let (_replica, client) = world.served().await;
    let (stop, refreshed) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..ACCOUNTS {
        let account = world.expired(Flavour::Oidc).await.id;
        let (client, stop, refreshed) = (client.clone(), stop.clone(), Arc::clone(&refreshed));
        callers.spawn(async move {
            // Each call is a refresh: the token of before counts as refused.
            let mut version = 1;
            while !stop.is_cancelled() {
                match client.refused(account, version).await {
                    Ok(token) => {
                        version = token.version;
                        refreshed.fetch_add(1, Ordering::Relaxed);
                    }
                    // On a busy machine the database has one connection for all callers.
                    refused => assert_eq!(refusal(refused).reason, "STORE_UNAVAILABLE"),
                }
            }
        });
    }
    let more = async |key: &str| {
        let counter = format!("client_key.{key}");
        let seen = world.demo.counter(&counter);
        eventually(async || (world.demo.counter(&counter) > seen + 30).then_some(())).await;
    };
    more("old").await;
    // Both are published, and the provider knows both before the new one signs.
    let (first, second) = (format!("{old},{new}"), format!("{new},{old}"));
    replace(&file, &first);
    register(&first);
    more("old").await;
    replace(&file, &second);
    more("new").await;
    // No request by the old key is on its way any more.
    let by_old = world.demo.counter("client_key.old");
    replace(&file, &new);
    register(&new);
    more("new").await;
    assert_eq!(world.demo.counter("client_key.old"), by_old);
    stop.cancel();
    // A refresh that failed has ended its caller with a panic.
    callers.join_all().await;
    assert!(refreshed.load(Ordering::Relaxed) > 120);
}

// R51
#[tokio::test]
async fn a_federated_token_is_read_for_every_refresh() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, FEDERATED).unwrap();
    let world = World::new()
        .await
        .with(SECRET, "")
        .with(ASSERTION_FILE, file.to_str().unwrap());
    let (_replica, client) = world.served().await;
    for token in [FEDERATED.to_owned(), FEDERATED.replace("c2ln", "bmV4")] {
        replace(&file, &token);
        world
            .demo
            .change(|settings| settings.client_assertions = vec![token]);
        let account = world.expired(Flavour::Oidc).await;
        client.get(account.id).await.unwrap();
    }
    assert_eq!(world.demo.counter("oidc.client.private_key_jwt"), 2);
}
