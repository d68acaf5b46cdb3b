//! R49, RF8: a failing provider gets few requests, and others are not affected.

use std::time::Duration;

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use tonic::Code;

use crate::support::{Token, World, eventually, refusal};

fn down(flavour: Flavour) -> Fault {
    Fault::on(Endpoint::Token).of(flavour).times(1_000)
}

// R32
#[tokio::test]
async fn a_provider_that_is_down_is_asked_a_few_times_however_many_accounts() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let valid = world
        .connect(Flavour::Google, "ada", Token::Expires(100))
        .await;
    world
        .demo
        .inject(down(Flavour::Google).answering(503, "<html>down"));

    for _ in 0..20 {
        let account = world.expired(Flavour::Google).await;
        let refused = refusal(client.get(account.id).await);
        assert_eq!(refused.code, Code::Unavailable);
        assert_eq!(refused.reason, "PROVIDER_UNAVAILABLE");
        assert!(refused.retry_after.unwrap() >= Duration::from_secs(1));
        assert_eq!(world.stored(&account).await.auth_failed_at, None);
    }
    let asked = world.demo.refreshes(Flavour::Google);
    assert!((3..=5).contains(&asked), "{asked}");

    // A token that is still valid is answered, even if it should be replaced.
    assert_eq!(client.get(valid.id).await.unwrap().version, 1);
    // The circuit breaker of another provider is closed.
    let other = world.expired(Flavour::Oidc).await;
    assert_eq!(client.get(other.id).await.unwrap().version, 2);

    // The provider returns: one probe, then all requests.
    world.demo.forget_faults();
    let first = world.expired(Flavour::Google).await;
    eventually(async || client.get(first.id).await.ok()).await;
    let next = world.expired(Flavour::Google).await;
    assert_eq!(client.get(next.id).await.unwrap().version, 2);
}

// The replaced system, 10: an expired client secret.
#[tokio::test]
async fn a_wrong_client_secret_costs_a_few_requests_and_no_grant() {
    let world = World::new()
        .await
        .with("AUTH_GOOGLE_CLIENT_SECRET", "expired");
    let (_replica, client) = world.served().await;
    for _ in 0..10 {
        let account = world.expired(Flavour::Google).await;
        let refused = refusal(client.get(account.id).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Internal, "CLIENT_MISCONFIGURED")
        );
        assert_eq!(world.stored(&account).await.auth_failed_at, None);
    }
    assert_eq!(world.demo.refreshes(Flavour::Google), 3);
    assert!(world.reauth_events().await.is_empty());
}

// R32: `Retry-After: 120` of several accounts applies to all accounts.
#[tokio::test]
async fn a_provider_that_throttles_is_left_alone_for_as_long_as_it_says() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world.demo.inject(
        down(Flavour::Microsoft)
            .answering(429, "")
            .with_header("Retry-After", "120"),
    );
    for _ in 0..6 {
        let account = world.expired(Flavour::Microsoft).await;
        let refused = refusal(client.get(account.id).await);
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.retry_after.unwrap() > Duration::from_secs(110));
    }
    assert_eq!(world.demo.refreshes(Flavour::Microsoft), 3);
}

// One account never delays others, however often it fails.
#[tokio::test]
async fn one_account_that_always_fails_opens_no_circuit_breaker() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let failing = world.expired(Flavour::Google).await;
    for _ in 0..6 {
        world
            .demo
            .inject(Fault::on(Endpoint::Token).answering(502, "<html>"));
        assert!(client.get(failing.id).await.is_err());
        world.end_backoff(&failing).await;
    }
    let healthy = world.expired(Flavour::Google).await;
    assert_eq!(client.get(healthy.id).await.unwrap().version, 2);
}

// The circuit breaker stays closed if only some requests fail.
#[tokio::test]
async fn a_flapping_provider_fails_single_calls_only() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    for number in 0..12 {
        let account = world.expired(Flavour::Google).await;
        if number % 3 == 2 {
            world.demo.inject(Fault::on(Endpoint::Token).reset());
            assert_eq!(
                refusal(client.get(account.id).await).reason,
                "OUTCOME_UNKNOWN"
            );
        } else {
            assert_eq!(client.get(account.id).await.unwrap().version, 2);
        }
    }
}
