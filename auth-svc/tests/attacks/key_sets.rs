//! Changing signing keys and unusual JWK sets: sign-ins at an honest provider succeed, and
//! an attacker can cause neither a sign-in nor many requests to the provider.

use std::time::Instant;

use latchkey_demo_provider::{Decision, Endpoint, Flavour, Misbehaviour as M};

use crate::support::{APP, TestApp, assert_nothing_written, refusal};

/// RP8; oidcc-client-test-signing-key-rotation and
/// -signing-key-rotation-just-before-signing
#[tokio::test]
async fn a_wrong_kid_is_refused_and_a_rotated_key_set_is_fetched() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    app.demo.rotate_keys(Flavour::Google, false).unwrap();
    app.signed_in("grace").await;
    assert_eq!(app.demo.count(Flavour::Google, Endpoint::Jwks), 2);
    // Many unknown keys cause only a few requests to the provider.
    app.demo.misbehave(Flavour::Google, Some(M::UnknownKey));
    let begun = Instant::now();
    for _ in 0..3 {
        let response = assert_nothing_written(&app, async || {
            app.run_flow(
                &mut app.browser().json(),
                "/auth/google",
                &Decision::allow("ada"),
            )
            .await
        })
        .await;
        assert_eq!(refusal(&response), (400, "identity_not_proven".to_owned()));
    }
    // The keys are fetched at most once in two seconds.
    let turns = begun.elapsed().as_secs() / 2 + 1;
    assert!(app.demo.count(Flavour::Google, Endpoint::Jwks) <= 2 + turns);
}

/// oidcc-client-test-signing-key-rotation with the old key still published
#[tokio::test]
async fn both_keys_verify_while_both_are_published() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    app.demo.rotate_keys(Flavour::Google, true).unwrap();
    app.signed_in("grace").await;
}

/// oidcc-client-test with an unparseable key in the JWKS
#[tokio::test]
async fn keys_that_cannot_be_parsed_are_ignored() {
    let app = TestApp::start().await;
    for (path, flavour) in crate::support::PROVIDERS {
        app.demo.misbehave(flavour, Some(M::JunkInJwks));
        let path = format!("{path}?prompt=consent");
        let response = app
            .run_flow(&mut app.browser(), &path, &Decision::allow("ada"))
            .await;
        assert_eq!(response.location(), APP, "{path}");
    }
}
