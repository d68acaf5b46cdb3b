//! Refresh and revocation.

use std::time::Duration;

use latchkey_config::Environment;
use latchkey_demo_provider::{Endpoint, ExpiresIn, Fault, Flavour};
use latchkey_domain::{RefreshToken, SystemClock};
use latchkey_providers::{FailureClass, Registry, Revocation, Rotation};

use crate::support::{World, world};

fn on_token() -> Fault {
    Fault::on(Endpoint::Token).of_grant("refresh_token")
}

async fn refresh_token(world: &World, name: &str) -> RefreshToken {
    world.tokens(name).await.refresh_token.unwrap()
}

async fn class(world: &World, token: &RefreshToken) -> FailureClass {
    let refused = world.provider("google").refresh(token).await;
    refused.unwrap_err().class
}

// R31
#[tokio::test]
async fn each_provider_rotates_in_its_own_way() {
    let world = world(&[]).await;
    for (name, rotation, rotates, old_works) in [
        ("google", Rotation::None, false, true),
        ("microsoft", Rotation::Soft, true, true),
        ("demo", Rotation::Strict, true, false),
    ] {
        let provider = world.provider(name);
        assert_eq!(provider.rotation(), rotation);
        let old = refresh_token(&world, name).await;
        let refreshed = provider.refresh(&old).await.unwrap();
        assert_eq!(refreshed.refresh_token.is_some(), rotates, "{name}");
        assert_eq!(provider.refresh(&old).await.is_ok(), old_works, "{name}");
    }
}

// R32
#[tokio::test]
async fn a_revoked_grant_is_dead() {
    let world = world(&[]).await;
    for name in ["google", "microsoft", "demo"] {
        let token = refresh_token(&world, name).await;
        world.demo.revoke("ada", None);
        let refused = world.provider(name).refresh(&token).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::InvalidRefreshToken, "{name}");
        assert!(refused.class.is_terminal());
        let code = refused.code.unwrap();
        let expected = if name == "microsoft" {
            "invalid_grant/AADSTS50173"
        } else {
            "invalid_grant"
        };
        assert_eq!(code, expected);
    }
}

// R32
#[tokio::test]
async fn failures_are_classified() {
    let world = world(&[]).await;
    let token = refresh_token(&world, "google").await;
    for (fault, expected) in [
        (
            on_token().answering(503, "<html>down</html>"),
            FailureClass::ProviderUnavailable,
        ),
        (
            on_token().answering(200, "<html>proxy</html>"),
            FailureClass::MalformedResponse,
        ),
        (
            on_token().answering(200, "{}"),
            FailureClass::MalformedResponse,
        ),
        (on_token().answering(429, ""), FailureClass::RateLimit),
        (on_token().answering(401, ""), FailureClass::Unauthorized),
        (
            on_token()
                .answering(302, "")
                .with_header("location", "/google/token"),
            FailureClass::MalformedResponse,
        ),
        (
            on_token().answering(200, " ".repeat(300 * 1024)),
            FailureClass::MalformedResponse,
        ),
        (on_token().reset(), FailureClass::OutcomeUnknown),
        (
            on_token().after_work().reset(),
            FailureClass::OutcomeUnknown,
        ),
    ] {
        world.demo.inject(fault.clone());
        assert_eq!(class(&world, &token).await, expected, "{:?}", fault.status);
    }
    world.provider("google").refresh(&token).await.unwrap();
}

// R32
#[tokio::test]
async fn a_provider_that_does_not_answer_leaves_the_outcome_unknown() {
    let world = world(&[]).await;
    let token = refresh_token(&world, "google").await;
    world.demo.inject(on_token().delayed_ms(60_000));
    let started = std::time::Instant::now();
    assert_eq!(class(&world, &token).await, FailureClass::OutcomeUnknown);
    assert!(started.elapsed() < latchkey_providers::REQUEST_DEADLINE);
}

// R32
#[tokio::test]
async fn an_unreachable_provider_was_sent_nothing() {
    let world = world(&[]).await;
    let token = refresh_token(&world, "google").await;
    // The discovery document is known, and then the provider stops.
    let google = world.provider("google");
    drop(world);
    // The client needs some time to see that the idle connection has ended.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = google.refresh(&token).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Network);
    // This provider never existed.
    let environment: Environment = [
        ("AUTH_OIDC_GONE_ISSUER", "http://127.0.0.1:9"),
        ("AUTH_OIDC_GONE_CLIENT_ID", "x"),
    ]
    .into_iter()
    .collect();
    let registry =
        Registry::from_environment(&environment, std::sync::Arc::new(SystemClock)).unwrap();
    let gone = registry.get(&"gone".parse().unwrap()).unwrap();
    let refused = gone.refresh(&token).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Network);
}

// R32
#[tokio::test]
async fn retry_after_is_passed_on() {
    let world = world(&[]).await;
    let token = refresh_token(&world, "google").await;
    let throttled = on_token()
        .answering(429, r#"{"error":"rate_limit_exceeded"}"#)
        .with_header("retry-after", "17");
    world.demo.inject(throttled);
    let refused = world.provider("google").refresh(&token).await.unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_secs(17)));
}

// R31
#[tokio::test]
async fn a_rotated_token_is_not_lost_with_a_malformed_response() {
    let world = world(&[]).await;
    let token = refresh_token(&world, "demo").await;
    let odd = r#"{"access_token": null, "refresh_token": "the-new-one", "expires_in": "x"}"#;
    world.demo.inject(on_token().answering(200, odd));
    let refused = world.provider("demo").refresh(&token).await.unwrap_err();
    assert_eq!(refused.rotated.unwrap().expose(), "the-new-one");
}

// WP10.
#[tokio::test]
async fn a_wrong_client_secret_ends_no_grant() {
    for (variable, name) in [
        ("AUTH_GOOGLE_CLIENT_SECRET", "google"),
        ("AUTH_MICROSOFT_CLIENT_SECRET", "microsoft"),
        ("AUTH_OIDC_DEMO_CLIENT_SECRET", "demo"),
    ] {
        let world = world(&[(variable, "wrong")]).await;
        let token = RefreshToken::new("whatever");
        let refused = world.provider(name).refresh(&token).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::ClientMisconfigured, "{name}");
        assert!(!refused.class.is_terminal());
    }
}

// WP1.
#[tokio::test]
async fn the_provider_sets_the_lifetime_of_a_token() {
    let world = world(&[]).await;
    let token = refresh_token(&world, "google").await;
    for (how, expected) in [
        (ExpiresIn::Number, Some(Duration::from_secs(90))),
        (ExpiresIn::Text, Some(Duration::from_secs(90))),
        (ExpiresIn::Absent, None),
        (ExpiresIn::Absurd, None),
    ] {
        world.demo.change(|settings| {
            settings.access_token_lifetime_s = 90;
            settings.expires_in = how;
        });
        let refreshed = world.provider("google").refresh(&token).await.unwrap();
        assert_eq!(refreshed.expires_in, expected, "{how:?}");
    }
}

// R37
#[tokio::test]
async fn a_grant_is_revoked_if_the_provider_supports_it() {
    let world = world(&[]).await;
    for (name, flavour, expected) in [
        ("google", Flavour::Google, Revocation::Confirmed),
        ("demo", Flavour::Oidc, Revocation::Confirmed),
        ("microsoft", Flavour::Microsoft, Revocation::NotSupported),
    ] {
        let provider = world.provider(name);
        let token = refresh_token(&world, name).await;
        assert_eq!(provider.revoke(&token).await.unwrap(), expected, "{name}");
        let works = world.demo.refresh_token_works(token.expose());
        assert_eq!(works, expected == Revocation::NotSupported, "{name}");
        // A second revocation succeeds as well, because the grant is revoked.
        assert_eq!(provider.revoke(&token).await.unwrap(), expected, "{name}");
        let asked = world.demo.count(flavour, Endpoint::Revocation);
        assert_eq!(asked > 0, expected == Revocation::Confirmed, "{name}");
    }
    let token = refresh_token(&world, "google").await;
    world
        .demo
        .inject(Fault::on(Endpoint::Revocation).answering(503, ""));
    let refused = world.provider("google").revoke(&token).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::ProviderUnavailable);
}

// R33: callers run a refresh in a separate task.
#[tokio::test]
async fn a_refresh_can_run_in_a_separate_task() {
    let world = world(&[]).await;
    let token = refresh_token(&world, "google").await;
    let google = world.provider("google");
    let task = tokio::spawn(async move { google.refresh(&token).await });
    task.await.unwrap().unwrap();
}
