//! R37: accounts of a member who was removed from a workspace.

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_domain::AccountId;

use crate::support::{Token, World, eventually};

/// Requests a disconnect as sync-svc does: of a grant given at most `seconds` after the
/// stored one.
async fn ask(world: &World, account: AccountId, seconds: i32) {
    sqlx::query(
        "INSERT INTO vault.disconnect_request (account_id, not_after)
         SELECT account_id, authenticated_at + make_interval(secs => $2)
         FROM vault.credential WHERE account_id = $1",
    )
    .bind(account.as_uuid())
    .bind(f64::from(seconds))
    .execute(world.pool())
    .await
    .unwrap();
}

async fn settled(world: &World) {
    eventually(async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM vault.disconnect_request")
            .fetch_one(world.pool())
            .await
            .unwrap();
        (left == 0).then_some(())
    })
    .await;
}

// R37: the request may arrive while no replica is running.
#[tokio::test]
async fn a_disconnect_request_is_processed_and_published_once() {
    let world = World::new().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    ask(&world, account.id, 1).await;
    let (_first, client) = world.served().await;
    let (_second, _) = world.served().await;
    settled(&world).await;
    assert!(!world.demo.refresh_token_works(&account.refresh_token));
    assert!(world.stored(&account).await.erased_at.is_some());
    let events = world.disconnected_events().await;
    assert_eq!(events.len(), 1);
    assert!(events[0].revoked_at_provider);
    assert!(client.get(account.id).await.is_err());
}

// R37: the person joined and connected again before the request was processed.
#[tokio::test]
async fn a_grant_that_was_given_later_stays() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    ask(&world, account.id, -1).await;
    settled(&world).await;
    assert!(world.stored(&account).await.erased_at.is_none());
    client.get(account.id).await.unwrap();
}

// R37: the credentials are erased although the provider does not confirm.
#[tokio::test]
async fn credentials_are_erased_where_the_provider_does_not_confirm() {
    let world = World::new().await;
    let (_replica, _) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    world
        .demo
        .inject(Fault::on(Endpoint::Revocation).times(9).answering(503, ""));
    ask(&world, account.id, 1).await;
    settled(&world).await;
    assert!(world.stored(&account).await.erased_at.is_some());
}
