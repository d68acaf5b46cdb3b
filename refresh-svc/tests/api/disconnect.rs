//! R37: disconnecting an account, as far as refresh-svc does it.

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Account, Token, World, eventually, refusal};

// R37
#[tokio::test]
async fn revoking_revokes_at_the_provider_erases_and_publishes_once() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    client.get(account.id).await.unwrap();

    for _ in 0..3 {
        assert!(client.revoke(account.id).await.unwrap());
    }

    assert!(!world.demo.refresh_token_works(&account.refresh_token));
    assert_eq!(world.demo.count(Flavour::Google, Endpoint::Revocation), 1);
    let stored = world.stored(&account).await;
    assert!(stored.erased_at.is_some());
    assert_eq!(
        (stored.sealed_access_token, stored.sealed_refresh_token),
        (None, None)
    );
    let events = world.disconnected_events().await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(event.account_id, account.id.to_string());
    assert!(event.revoked_at_provider && event.disconnected_at.is_some());
    let refused = refusal(client.get(account.id).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::NotFound, "ACCOUNT_NOT_FOUND")
    );
}

// R37
#[tokio::test]
async fn credentials_are_erased_although_the_provider_cannot_or_does_not_answer() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    // Microsoft has no revocation endpoint.
    let microsoft = world.expired(Flavour::Microsoft).await;
    assert!(!client.revoke(microsoft.id).await.unwrap());
    assert!(world.stored(&microsoft).await.erased_at.is_some());

    let google = world.expired(Flavour::Google).await;
    world
        .demo
        .inject(Fault::on(Endpoint::Revocation).times(9).answering(503, ""));
    assert!(!client.revoke(google.id).await.unwrap());
    assert!(world.stored(&google).await.erased_at.is_some());
    assert_eq!(world.disconnected_events().await.len(), 2);

    let unknown = refusal(client.revoke(Uuid::new_v4()).await);
    assert_eq!(unknown.code, Code::NotFound);
}

// R37: Google revokes all tokens that a person granted to the client, including those of
// the same mailbox in another workspace.
#[tokio::test]
async fn a_disconnect_leaves_the_same_persons_other_accounts_alive() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let [first, second] = siblings(&world, Flavour::Google).await;

    assert!(!client.revoke(first.id).await.unwrap());
    assert!(world.stored(&first).await.erased_at.is_some());
    assert_eq!(world.stored(&first).await.sealed_refresh_token, None);
    assert_eq!(world.demo.count(Flavour::Google, Endpoint::Revocation), 0);
    let renewed = client.get(second.id).await.unwrap();
    assert_ne!(renewed.access_token, second.access_token);
    let events = world.disconnected_events().await;
    assert!(!events[0].revoked_at_provider);
    assert!(!client.revoke(first.id).await.unwrap(), "said again");

    // With the last account the person's grant is revoked.
    assert!(client.revoke(second.id).await.unwrap());
    assert_eq!(world.demo.count(Flavour::Google, Endpoint::Revocation), 1);
    assert!(!world.demo.refresh_token_works(&first.refresh_token));
}

// R37
#[tokio::test]
async fn accounts_of_one_person_disconnected_at_once_end_with_one_revocation() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    for _ in 0..5 {
        let before = world.demo.count(Flavour::Google, Endpoint::Revocation);
        let [first, second] = siblings(&world, Flavour::Google).await;
        let (one, other) = tokio::join!(client.revoke(first.id), client.revoke(second.id));
        assert!(one.unwrap() != other.unwrap());
        let after = world.demo.count(Flavour::Google, Endpoint::Revocation);
        assert_eq!(after, before + 1);
        for account in [&first, &second] {
            assert!(world.stored(account).await.erased_at.is_some());
            assert!(!world.demo.refresh_token_works(&account.refresh_token));
        }
    }
}

// R37: another account that is dead does not prevent the revocation, and elsewhere a
// revocation ends one authorization only.
#[tokio::test]
async fn a_grant_is_revoked_where_that_ends_no_living_account() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let [dead, alive] = siblings(&world, Flavour::Google).await;
    sqlx::query("UPDATE vault.credential SET auth_failed_at = now() WHERE account_id = $1")
        .bind(dead.id.as_uuid())
        .execute(world.pool())
        .await
        .unwrap();
    assert!(client.revoke(alive.id).await.unwrap());

    let [first, second] = siblings(&world, Flavour::Oidc).await;
    assert!(client.revoke(first.id).await.unwrap());
    assert!(!world.demo.refresh_token_works(&first.refresh_token));
    assert!(world.demo.refresh_token_works(&second.refresh_token));
}

/// Two accounts of one person in two workspaces.
async fn siblings(world: &World, flavour: Flavour) -> [Account; 2] {
    [world.expired(flavour).await, world.expired(flavour).await]
}

// R27: a connection may still arrive when the person disconnects once more.
#[tokio::test]
async fn a_disconnect_of_what_is_erased_already_is_noted() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Microsoft).await;
    client.revoke(account.id).await.unwrap();
    let erased_at = world.stored(&account).await.erased_at;
    client.revoke(account.id).await.unwrap();
    let stored = world.stored(&account).await;
    assert_eq!(stored.erased_at, erased_at, "erased once");
    assert!(stored.not_before > erased_at);
    assert_eq!(world.disconnected_events().await.len(), 1);
}

// R21: the access token came from a sign-in without a refresh token.
#[tokio::test]
async fn after_a_refresh_both_tokens_are_of_the_refresh_tokens_grant() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    sqlx::query(
        "UPDATE vault.credential
         SET refresh_authenticated_at = authenticated_at, refresh_scopes = granted_scopes,
             authenticated_at = now(), granted_scopes = granted_scopes || '{calendar}'
         WHERE account_id = $1",
    )
    .bind(account.id.as_uuid())
    .execute(world.pool())
    .await
    .unwrap();
    client.get(account.id).await.unwrap();
    let stored = world.stored(&account).await;
    assert!(!stored.granted_scopes.contains(&"calendar".to_owned()));
    assert_eq!(stored.refresh_scopes, None);
}

// R37; Keycloak #51312: a revocation during a refresh.
#[tokio::test]
async fn a_refresh_under_way_never_brings_a_revoked_account_back() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world
        .demo
        .inject(Fault::on(Endpoint::Token).delayed_ms(600));
    let waiting = world.under_way(&client, &account, Flavour::Oidc).await;

    assert!(client.revoke(account.id).await.unwrap());

    let _ = waiting.await.unwrap();
    let stored = world.stored(&account).await;
    assert!(stored.erased_at.is_some());
    assert_eq!(stored.sealed_refresh_token, None);
    // The rotated token was revoked, not only the one before it.
    let living = world.demo.issued().into_iter().any(|issued| {
        issued.kind == "refresh_token" && world.demo.refresh_token_works(&issued.token)
    });
    assert!(!living);
}

// R22: a person who comes back after a disconnect is connected again.
#[tokio::test]
async fn a_reconnect_after_a_disconnect_works() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let mut account = world.expired(Flavour::Google).await;
    client.revoke(account.id).await.unwrap();
    world.reconnect(&mut account, Flavour::Google).await;
    let token = eventually(async || client.get(account.id).await.ok()).await;
    assert_eq!(token.access_token, account.access_token);
    client.revoke(account.id).await.unwrap();
    assert_eq!(world.disconnected_events().await.len(), 2);
}
