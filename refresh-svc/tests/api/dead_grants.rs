//! R34: a grant that only a sign-in can revive.

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use tonic::Code;

use crate::support::{Token, World, eventually, refusal};

// R34, RF9
#[tokio::test]
async fn a_revoked_grant_is_marked_published_once_and_not_requested_again() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    for flavour in Flavour::ALL {
        let account = world.expired(flavour).await;
        world.demo.revoke("ada", Some(flavour));

        for _ in 0..3 {
            let refused = refusal(client.get(account.id).await);
            assert_eq!(
                (refused.code, refused.reason.as_str(), refused.retry_after),
                (Code::FailedPrecondition, "INVALID_REFRESH_TOKEN", None)
            );
        }

        assert_eq!(world.demo.refreshes(flavour), 1);
        let stored = world.stored(&account).await;
        assert!(stored.auth_failed_at.is_some());
        assert_eq!(stored.lease_holder, None);
        let events = world.reauth_events().await;
        let event = events.last().unwrap();
        assert_eq!(event.account_id, account.id.to_string());
        assert_eq!(event.workspace_id, account.binding.workspace.to_string());
        assert_eq!(event.provider, account.binding.provider.as_str());
        assert_eq!(event.reason, "INVALID_REFRESH_TOKEN");
        assert!(event.failed_at.is_some() && event.authenticated_at.is_some());
    }
    assert_eq!(world.reauth_events().await.len(), 3);
}

// R34: another replica, and a token that still seems valid.
#[tokio::test]
async fn every_replica_answers_a_dead_grant_at_once() {
    let world = World::new().await;
    let (_one, client) = world.served().await;
    let (_other, elsewhere) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    world.replicas_listen(2).await;
    elsewhere.get(account.id).await.unwrap();
    world.demo.revoke("ada", None);

    let refused = refusal(client.refused(account.id, 1).await);
    assert_eq!(refused.reason, "INVALID_REFRESH_TOKEN");

    eventually(async || {
        let answer = elsewhere.get(account.id).await;
        answer.is_err().then(|| refusal(answer))
    })
    .await;
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
    assert_eq!(world.reauth_events().await.len(), 1);
}

// R22, R34
#[tokio::test]
async fn a_reconnect_revives_a_dead_grant() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let mut account = world.expired(Flavour::Google).await;
    world.demo.revoke("ada", None);
    assert!(client.get(account.id).await.is_err());

    world.reconnect(&mut account, Flavour::Google).await;

    eventually(async || client.get(account.id).await.ok()).await;
    world.demo.revoke("ada", None);
    let version = world.stored(&account).await.version;
    assert!(client.refused(account.id, version).await.is_err());
    assert_eq!(world.reauth_events().await.len(), 2);
}

// RF7.
#[tokio::test]
async fn a_refusal_of_a_grant_that_was_replaced_meanwhile_marks_nothing_as_dead() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let mut account = world.expired(Flavour::Google).await;
    world.demo.inject(
        Fault::on(Endpoint::Token)
            .delayed_ms(700)
            .answering(400, r#"{"error":"invalid_grant"}"#),
    );
    let waiting = world.under_way(&client, &account, Flavour::Google).await;

    world.reconnect(&mut account, Flavour::Google).await;

    let token = waiting.await.unwrap().unwrap();
    assert_eq!(token.access_token, account.access_token);
    let stored = world.stored(&account).await;
    assert!(stored.auth_failed_at.is_none());
    assert_eq!(stored.lease_holder, None);
    assert!(world.reauth_events().await.is_empty());
}

// R5, R34: the provider never issued a refresh token.
#[tokio::test]
async fn an_expired_grant_without_a_refresh_token_needs_the_person() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let living = world
        .connect(Flavour::Google, "ada", Token::Expires(40))
        .await;
    let expired = world.expired(Flavour::Google).await;
    sqlx::query("UPDATE vault.credential SET sealed_refresh_token = NULL")
        .execute(world.pool())
        .await
        .unwrap();

    assert_eq!(client.get(living.id).await.unwrap().version, 1);
    assert_eq!(
        refusal(client.get(expired.id).await).reason,
        "NO_REFRESH_TOKEN"
    );
    assert_eq!(world.reauth_events().await.len(), 1);
    assert_eq!(world.demo.refreshes(Flavour::Google), 0);
}
