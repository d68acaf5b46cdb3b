//! The service is down, slow or restarted, or has several replicas.

use std::sync::Arc;
use std::time::Duration;

use latchkey_client::{Reason, TokenError, TokenRequest};
use latchkey_domain::AccountId;
use tokio::time::timeout;
use tonic::Code;

use crate::support::{FakeService, LONG, World, status, until};

#[tokio::test]
async fn a_token_that_is_still_valid_is_served_while_the_service_is_away() {
    let (world, client) = World::with_expiring_token().await;
    world.service.stop().await;
    for _ in 0..20 {
        let token = client.access_token(world.account).await.unwrap();
        assert_eq!(token.version(), 1);
    }
}

#[tokio::test]
async fn a_token_that_is_still_valid_is_served_while_the_service_fails() {
    for (code, name) in [
        (Code::Unavailable, "PROVIDER_UNAVAILABLE"),
        (Code::Internal, "CLIENT_MISCONFIGURED"),
    ] {
        let (world, client) = World::with_expiring_token().await;
        world.state.fail_always(Some(status(code, name, None, &[])));
        let token = client.access_token(world.account).await.unwrap();
        assert_eq!(token.version(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_valid_token_is_served_soon_although_the_service_hangs() {
    let world = World::create().await;
    let client = world
        .builder()
        .fallback_after(Duration::from_millis(100))
        .within(Duration::from_mins(1))
        .build()
        .unwrap();
    client.access_token(world.account).await.unwrap();
    world.advance(3600 - 30);
    world.state.delay(Duration::from_secs(30));
    let token = timeout(LONG, client.access_token(world.account)).await;
    assert_eq!(token.unwrap().unwrap().version(), 1);
}

#[tokio::test]
async fn an_explicit_minimum_is_enforced_during_an_outage() {
    let (world, client) = World::with_expiring_token().await;
    world.service.stop().await;
    let request = TokenRequest::new(world.account)
        .min_remaining(Duration::from_mins(1))
        .within(Duration::from_millis(300));
    let error = client.access_token(request).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::ServiceUnreachable));
}

#[tokio::test]
async fn an_expired_token_is_never_served() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    world.advance(3600);
    world.service.stop().await;
    let request = TokenRequest::new(world.account).within(Duration::from_millis(300));
    let error = client.access_token(request).await.unwrap_err();
    assert!(matches!(error, TokenError::RetryLater { .. }), "{error}");
}

#[tokio::test]
async fn the_client_connects_again_when_the_service_is_back() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    let address = world.service.stop().await;
    let other = AccountId::generate();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.access_token(other).await }
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    let _back = FakeService::start_on(&world.certificates, Arc::clone(&world.state), address).await;
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn calls_are_distributed_over_the_replicas() {
    let world = World::create().await;
    let second = world.replica().await;
    let client = world.builder().address(second.address()).build().unwrap();
    for _ in 0..10 {
        client.access_token(AccountId::generate()).await.unwrap();
    }
    assert_eq!((world.service.calls(), second.calls()), (5, 5));
}

#[tokio::test]
async fn a_replica_that_is_down_is_passed_over_at_once() {
    let world = World::create().await;
    let second = world.replica().await;
    let client = world.builder().address(second.address()).build().unwrap();
    client.access_token(world.account).await.unwrap();
    second.stop().await;
    for _ in 0..10 {
        let call = client.access_token(AccountId::generate());
        timeout(LONG, call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_replica_that_dies_in_the_middle_of_a_call_is_passed_over() {
    let world = World::create().await;
    let (client, proxy, second) = world.with_proxy().await;
    world.state.delay(Duration::from_millis(300));
    let (token, ()) = tokio::join!(client.access_token(world.account), async {
        until("the first replica is asked", || world.service.calls() == 1).await;
        // It accepts no more, either.
        let proxy = proxy;
        proxy.close_connections();
    });
    token.unwrap();
    assert_eq!(second.calls(), 1);
}

// Takes 15 s because of the keep-alive pings.
#[tokio::test]
async fn a_replica_whose_host_vanished_is_noticed_by_keep_alive() {
    let world = World::create().await;
    let (client, proxy, second) = world.with_proxy().await;
    client.access_token(world.account).await.unwrap();
    client.access_token(AccountId::generate()).await.unwrap();
    proxy.drop_packets();
    client.access_token(AccountId::generate()).await.unwrap();
    assert_eq!(second.calls(), 2);
}
