//! R33: one refresh, regardless of the number of callers and replicas.

use std::time::Duration;

use futures::future::join_all;
use latchkey_demo_provider::Flavour;

use crate::support::{Account, Client, Replica, World, eventually, refusal, slow};

// R33
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_callers_over_two_replicas_cause_one_refresh() {
    let world = World::new().await;
    let replicas = [world.replica(), world.replica()];
    let clients = join_all(
        replicas
            .iter()
            .map(|replica| replica.client(&world.certificates)),
    )
    .await;
    for flavour in Flavour::ALL {
        let account = world.expired(flavour).await;
        world.demo.inject(slow(200));

        let answers = join_all((0..500).map(|number| clients[number % 2].get(account.id))).await;

        let tokens: Vec<String> = answers
            .into_iter()
            .map(|answer| answer.unwrap().access_token)
            .collect();
        assert_eq!(world.demo.refreshes(flavour), 1);
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        assert_ne!(tokens[0], account.access_token);
        let stored = world.stored(&account).await;
        assert_eq!((stored.version, stored.lease_epoch), (2, 1));
    }
}

// R33, RF3: the notification only shortens the wait.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_replicas_find_the_new_token_without_a_notification() {
    let world = World::uncached().await;
    sqlx::query("ALTER TABLE vault.credential DISABLE TRIGGER USER")
        .execute(world.pool())
        .await
        .unwrap();
    let (_one, here) = world.served().await;
    let (_other, there) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.inject(slow(300));

    let (one, other) = tokio::join!(here.get(account.id), there.get(account.id));

    assert_eq!(one.unwrap().access_token, other.unwrap().access_token);
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
}

// R33, RF8: all requests that a replica may send at once are waiting for the provider.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_waits_for_a_permit_gets_the_token_of_another_replica() {
    let world = World::new().await.with("REFRESH_CONCURRENCY", "1");
    let (_one, here) = world.served().await;
    let (_other, there) = world.served().await;
    world.replicas_listen(2).await;
    let slow_one = world.expired(Flavour::Google).await;
    world.demo.inject(slow(60_000));
    let _stuck = world.under_way(&here, &slow_one, Flavour::Google).await;
    let mut accounts = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let (here, account) = (here.clone(), world.expired(Flavour::Google).await.id);
        accounts.push(account);
        waiting.push(tokio::spawn(async move {
            here.ask_within(account, Duration::from_secs(10)).await
        }));
    }

    for account in accounts {
        assert_eq!(there.get(account).await.unwrap().version, 2);
    }

    for caller in waiting {
        assert_eq!(caller.await.unwrap().unwrap().version, 2);
    }
}

// R33: callers share a failure as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refresh_is_shared_by_all_callers() {
    let world = World::new().await;
    let replicas = [world.replica(), world.replica()];
    let clients = join_all(
        replicas
            .iter()
            .map(|replica| replica.client(&world.certificates)),
    )
    .await;
    let account = world.expired(Flavour::Google).await;
    world.demo.inject(
        slow(200)
            .answering(429, "")
            .with_header("Retry-After", "60"),
    );

    let answers = join_all((0..100).map(|number| clients[number % 2].get(account.id))).await;

    for answer in answers {
        assert_eq!(refusal(answer).reason, "RATE_LIMIT_ERROR");
    }
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
}

// R33, RF2.
#[tokio::test]
async fn a_caller_that_gives_up_never_cancels_a_rotation() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.inject(slow(600));

    let given_up = client
        .ask_within(account.id, Duration::from_millis(200))
        .await;
    assert!(given_up.is_err());

    let token = client.get(account.id).await.unwrap();
    assert_eq!(token.version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
    let stored = world.stored_refresh_token(&account).await;
    assert!(world.demo.refresh_token_works(&stored));
}

// The answer arrives before the caller's deadline.
#[tokio::test]
async fn a_caller_with_a_deadline_is_answered_still_refreshing() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    world.demo.inject(slow(29_000));
    let refused = client
        .refusal_within(account.id, Duration::from_secs(3))
        .await;
    assert_eq!(refused.code, tonic::Code::DeadlineExceeded);
    assert_eq!(refused.reason, "STILL_REFRESHING");
}

/// The holder is killed while the provider handles its request; `rotated` if the
/// provider has rotated the token by then.
async fn killed_holder(flavour: Flavour, rotated: bool) -> (World, Account, Client, Replica) {
    let world = World::new()
        .await
        .with("REFRESH_LEASE", "6s")
        .with("REFRESH_PROVIDER_DEADLINE", "4s")
        .with("REFRESH_TIME_TO_STORE", "1s");
    let (first, second) = (world.replica(), world.replica());
    let account = world.expired(flavour).await;
    let fault = slow(1_400);
    world.demo.inject(if rotated {
        fault.after_work().reset()
    } else {
        fault
    });
    let client = first.client(&world.certificates).await;
    let id = account.id;
    let abandoned_call = tokio::spawn(async move { client.get(id).await });
    eventually(async || {
        let stored = world.stored(&account).await;
        (stored.lease_holder.is_some() && world.demo.refreshes(flavour) == 1).then_some(())
    })
    .await;
    first.kill();
    assert!(abandoned_call.await.unwrap().is_err());
    let client = second.client(&world.certificates).await;
    (world, account, client, second)
}

// R33, RF3: the lease of a crashed holder expires.
#[tokio::test]
async fn another_replica_takes_over_when_the_holder_of_the_lease_dies() {
    let (world, account, client, _second) = killed_holder(Flavour::Microsoft, false).await;

    let token = client.get(account.id).await.unwrap();

    assert_eq!(token.version, 2);
    let stored = world.stored(&account).await;
    assert_eq!((stored.lease_epoch, stored.lease_holder), (2, None));
    assert_eq!(world.demo.refreshes(Flavour::Microsoft), 2);
}

// RF5, RF10: defined, bounded behaviour after a crash.
#[tokio::test]
async fn a_rotation_that_a_crash_lost_is_replayed_once_and_then_published() {
    let (world, account, client, _second) = killed_holder(Flavour::Oidc, true).await;

    let refused = refusal(client.get(account.id).await);

    assert_eq!(refused.reason, "ROTATION_LOST");
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 2);
    assert_eq!(world.reauth_events().await.len(), 1);
}

// WP2, RF4.
#[tokio::test]
async fn a_reconnect_during_a_refresh_is_never_overwritten() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let mut account = world.expired(Flavour::Google).await;
    world.demo.inject(slow(700));
    let waiting = world.under_way(&client, &account, Flavour::Google).await;

    world.reconnect(&mut account, Flavour::Google).await;

    let token = waiting.await.unwrap().unwrap();
    assert_eq!(token.access_token, account.access_token);
    assert_eq!(
        world.stored_refresh_token(&account).await,
        account.refresh_token
    );
    let stored = world.stored(&account).await;
    assert_eq!((stored.version, stored.lease_holder), (2, None));
    // Acquired by the refresh, and fenced off by the sign-in.
    assert_eq!((stored.lease_epoch, stored.intent_count), (2, 0));
}
