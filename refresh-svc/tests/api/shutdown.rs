//! SIGTERM, and leases that arrive too late.

use std::time::Duration;

use futures::future::join_all;
use latchkey_demo_provider::Flavour;
use tonic::Code;

use crate::support::{World, eventually, logged, refusal, slow};

// A process that stops completes its refreshes, soon starts none, and tells callers that
// still wait to ask another replica.
#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_no_lease_is_acquired_and_only_holders_are_waited_for() {
    let world = World::new().await.with("REFRESH_CONCURRENCY", "1");
    let (replica, client) = world.served().await;
    let holder = world.expired(Flavour::Oidc).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(world.expired(Flavour::Oidc).await);
    }
    // Longer than the others need to queue, and than refreshes are begun after the stop.
    world.demo.inject(slow(6_000).times(20));
    let waiting = world.under_way(&client, &holder, Flavour::Oidc).await;
    let in_queue = tokio::spawn({
        let (client, ids) = (
            client.clone(),
            others.iter().map(|one| one.id).collect::<Vec<_>>(),
        );
        async move { join_all(ids.iter().map(|id| client.get(id))).await }
    });
    // Each has a refresh task that waits for the only permit.
    eventually(async || {
        let log = logged();
        let is_running = |id| log.contains(&format!("refresh{{account.id={id}}}"));
        others.iter().all(|one| is_running(one.id)).then_some(())
    })
    .await;

    let stopped = replica.stop();
    let (answers, ()) = tokio::join!(in_queue, stopped);

    for answer in answers.unwrap() {
        let refused = refusal(answer);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unavailable, "SHUTTING_DOWN")
        );
        assert!(refused.retry_after.is_some());
    }
    assert_eq!(waiting.await.unwrap().unwrap().version, 2);
    let stored = world.stored_refresh_token(&holder).await;
    assert!(world.demo.refresh_token_works(&stored));
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
    for other in &others {
        let stored = world.stored(other).await;
        assert_eq!((stored.lease_epoch, stored.intent_count), (0, 0));
    }
}

// R46: callers learn only at the stop that they should use another replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_waits_for_its_turn_at_the_stop_is_still_made() {
    let world = World::new().await.with("REFRESH_CONCURRENCY", "1");
    let (replica, client) = world.served().await;
    let holder = world.expired(Flavour::Oidc).await;
    let other = world.expired(Flavour::Oidc).await;
    world.demo.inject(slow(1_000));
    let first = world.under_way(&client, &holder, Flavour::Oidc).await;
    let second = tokio::spawn({
        let (client, id) = (client.clone(), other.id);
        async move { client.get(id).await }
    });
    let is_running = format!("refresh{{account.id={}}}", other.id);
    eventually(async || logged().contains(&is_running).then_some(())).await;

    replica.stop().await;

    assert_eq!(first.await.unwrap().unwrap().version, 2);
    assert_eq!(second.await.unwrap().unwrap().version, 2);
}

// The database grants the lease at once and answers late: the rest of the lease is too
// short for the provider, so no request is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_comes_too_late_is_released_without_a_request() {
    let world = World::new()
        .await
        .with("REFRESH_LEASE", "3600ms")
        .with("REFRESH_PROVIDER_DEADLINE", "2500ms")
        .with("REFRESH_TIME_TO_STORE", "1s");
    let (_prompt, there) = world.served().await;
    let (world, proxy) = world.behind_a_proxy().await;
    let (_late, here) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.inject(slow(1_900).times(2));
    proxy.delay_responses(b"SET lease_holder", Duration::from_millis(2_400), 1);
    let late = tokio::spawn({
        let (client, id) = (here.clone(), account.id);
        async move { client.get(id).await }
    });
    eventually(async || world.stored(&account).await.lease_holder).await;
    let prompt = there.get(account.id).await;

    assert_eq!(prompt.unwrap().version, 2);
    assert_eq!(late.await.unwrap().unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
    let stored = world.stored_refresh_token(&account).await;
    assert!(world.demo.refresh_token_works(&stored));
}
