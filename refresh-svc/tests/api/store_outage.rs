//! The provider's answer is kept until the database accepts it.

use std::time::Duration;

use latchkey_demo_provider::Flavour;

use crate::support::{Account, World, eventually, logged, refusal, slow};

/// The provider has answered, and the database has stored nothing.
async fn not_stored_yet(account: &Account) {
    let id = format!("account.id={}", account.id);
    eventually(async || {
        logged()
            .lines()
            .any(|line| line.contains("is not stored yet") && line.contains(&id))
            .then_some(())
    })
    .await;
}

// R31: a refresh succeeds at the provider and cannot be stored at once.
#[tokio::test]
async fn rotated_tokens_are_kept_until_the_database_takes_them() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.inject(slow(500));
    let waiting = world.under_way(&client, &account, Flavour::Oidc).await;

    world.cut_database_off().await;
    not_stored_yet(&account).await;
    assert!(
        !waiting.is_finished(),
        "no token is answered before it is stored"
    );
    world.let_database_in().await;

    assert_eq!(waiting.await.unwrap().unwrap().version, 2);
    let stored = world.stored_refresh_token(&account).await;
    assert!(world.demo.refresh_token_works(&stored));
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
}

// R31, R34: a refusal is kept until the database accepts it.
#[tokio::test]
async fn a_dead_grant_that_cannot_be_marked_at_once_is_marked_later() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.revoke("ada", None);
    world.demo.inject(slow(500));
    let waiting = world.under_way(&client, &account, Flavour::Oidc).await;

    world.cut_database_off().await;
    not_stored_yet(&account).await;
    assert!(!waiting.is_finished());
    world.let_database_in().await;

    let refused = refusal(waiting.await.unwrap());
    assert_eq!(refused.reason, "INVALID_REFRESH_TOKEN");
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
    assert_eq!(world.reauth_events().await.len(), 1);
}

// R33: the answer to the lease statement was lost, or the result could not be stored.
// The holder does not wait for its own lease.
#[tokio::test]
async fn a_lease_whose_holder_lost_the_answer_is_acquired_again_only_by_that_holder() {
    // Longer than any caller waits.
    let world = World::new().await.with("REFRESH_LEASE", "10m");
    let (_one, here) = world.served().await;
    let (_other, there) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    world.demo.inject(slow(500));
    let (asking, id) = (here.clone(), account.id);
    let waiting = tokio::spawn(async move { asking.get(id).await });
    let holder = eventually(async || world.stored(&account).await.lease_holder).await;
    assert_eq!(waiting.await.unwrap().unwrap().version, 2);

    let lost = world.expired(Flavour::Google).await;
    sqlx::query(
        "UPDATE vault.credential
         SET lease_holder = $2, lease_until = now() + interval '10 minutes', lease_epoch = 1,
             intent_version = version, intent_at = now(), intent_count = 1
         WHERE account_id = $1",
    )
    .bind(lost.id.as_uuid())
    .bind(holder)
    .execute(world.pool())
    .await
    .unwrap();
    let of_another = there.refusal_within(lost.id, Duration::from_secs(2)).await;
    assert_eq!(of_another.reason, "STILL_REFRESHING");
    assert_eq!(here.get(lost.id).await.unwrap().version, 2);
    let stored = world.stored(&lost).await;
    assert_eq!((stored.lease_epoch, stored.lease_holder), (2, None));
}
