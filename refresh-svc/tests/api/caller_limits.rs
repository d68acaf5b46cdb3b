//! R36: limits of one caller, so that capacity of a replica remains for others.

use latchkey_demo_provider::Flavour;
use tonic::Code;

use crate::support::{Client, Token, World, eventually, refusal, slow};

#[tokio::test]
async fn a_caller_at_its_limit_leaves_other_callers_theirs() {
    let world = World::new()
        .await
        .with("CALLER_WAITING_LIMIT", "1")
        .with("TOKEN_CACHE_REVALIDATE", "1m");
    // Created before the replica listens: an account that has just changed is not
    // trusted in the cache.
    let at_hand = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let (replica, client) = world.served().await;
    let other = world.certificates.authority().client("other").unwrap();
    let other = Client::of(replica.grpc, &world.certificates, &other);
    world.replicas_listen(1).await;
    client.get(at_hand.id).await.unwrap();
    let (first, second) = (
        world.expired(Flavour::Google).await,
        world.expired(Flavour::Oidc).await,
    );
    world.demo.inject(slow(4_000));
    let waiting = world.under_way(&client, &first, Flavour::Google).await;

    let refused = refusal(client.get(second.id).await);

    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::ResourceExhausted, "TOO_MANY_CALLS")
    );
    assert!(refused.retry_after.is_some());
    // Another caller has its own limit. The account that it brought into the cache is
    // answered to all callers: a replica without notifications for a moment reads again.
    other.get(at_hand.id).await.unwrap();
    client.get(at_hand.id).await.unwrap();
    other.get(second.id).await.unwrap();
    waiting.await.unwrap().unwrap();
    client.get(second.id).await.unwrap();
}

#[tokio::test]
async fn a_caller_gets_at_most_half_of_the_watches() {
    let world = World::new().await.with("WATCH_LIMIT", "2");
    let (replica, client) = world.served().await;
    let other = world.certificates.authority().client("other").unwrap();
    let other = Client::of(replica.grpc, &world.certificates, &other);
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let held = client.watch(account.id).await.unwrap();
    let refused = client.watch(account.id).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let _others = other.watch(account.id).await.unwrap();
    drop(held);
    eventually(async || client.watch(account.id).await.ok()).await;
}
