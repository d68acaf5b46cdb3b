//! R37: a revocation concurrent with a refresh, a reconnect and a caller that leaves.

use std::time::Duration;

use latchkey_demo_provider::{Endpoint, Fault, Flavour};

use crate::support::{Account, Client, World, eventually, refusal};

/// Starts a revocation that the provider answers slowly.
async fn revoking(
    world: &World,
    client: &Client,
    account: &Account,
    flavour: Flavour,
) -> tokio::task::JoinHandle<Result<bool, tonic::Status>> {
    world
        .demo
        .inject(Fault::on(Endpoint::Revocation).delayed_ms(1_500));
    let (client, id) = (client.clone(), account.id);
    let revoking = tokio::spawn(async move { client.revoke(id).await });
    eventually(async || (world.demo.count(flavour, Endpoint::Revocation) == 1).then_some(())).await;
    revoking
}

// Keycloak #51312: a refresh that begins during a revocation would bring a rotated token
// that is not revoked.
#[tokio::test(flavor = "multi_thread")]
async fn no_refresh_begins_while_a_grant_is_being_revoked() {
    let world = World::uncached().await;
    let (_one, here) = world.served().await;
    let (_other, there) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    let revoking = revoking(&world, &here, &account, Flavour::Oidc).await;

    let refused = refusal(there.get(account.id).await);

    assert_eq!(refused.reason, "ACCOUNT_NOT_FOUND");
    assert!(revoking.await.unwrap().unwrap());
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 0);
    assert!(!world.demo.refresh_token_works(&account.refresh_token));
}

// A reconnect during a disconnect takes precedence.
#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_while_a_grant_is_being_revoked_stays() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let mut account = world.expired(Flavour::Oidc).await;
    let old = account.refresh_token.clone();
    let revoking = revoking(&world, &client, &account, Flavour::Oidc).await;

    world.reconnect(&mut account, Flavour::Oidc).await;

    assert!(revoking.await.unwrap().unwrap());
    let token = client.get(account.id).await.unwrap();
    assert_eq!(token.access_token, account.access_token);
    let stored = world.stored_refresh_token(&account).await;
    assert!(world.demo.refresh_token_works(&stored));
    assert!(!world.demo.refresh_token_works(&old));
    assert!(world.disconnected_events().await.is_empty());
}

// R36: the task that revokes writes the audit record, not the waiting call.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_whose_caller_left_is_in_the_audit() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world
        .demo
        .inject(Fault::on(Endpoint::Revocation).delayed_ms(1_200));

    let left = client
        .revoke_within(account.id, Duration::from_millis(300))
        .await;

    assert!(left.is_err());
    eventually(async || world.stored(&account).await.erased_at).await;
    let rows = world.audited(1).await;
    assert_eq!(rows[0].outcome, "REVOKED");
    assert_eq!(rows[0].account_id, Some(account.id.as_uuid()));
    assert_eq!(rows[0].caller, "test-client");
}
