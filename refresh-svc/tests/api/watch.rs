//! `WatchAccount`: the present state, then every change.

use std::time::Duration;

use latchkey_demo_provider::Flavour;
use latchkey_proto::token::{AccountState, WatchAccountRequest, WatchAccountResponse};
use tonic::{Code, Status, Streaming};

use crate::support::{Client, Token, World, by_id, eventually, refusal};

async fn watch(
    client: &Client,
    account: impl ToString,
) -> Result<Streaming<WatchAccountResponse>, Status> {
    let request = WatchAccountRequest {
        account: Some(by_id(account.to_string())),
    };
    client
        .0
        .clone()
        .watch_account(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn next(stream: &mut Streaming<WatchAccountResponse>) -> WatchAccountResponse {
    tokio::time::timeout(Duration::from_secs(10), stream.message())
        .await
        .expect("nothing came")
        .unwrap()
        .expect("the stream ended")
}

// R34, R37
#[tokio::test]
async fn a_watcher_is_told_every_token_and_every_state() {
    let world = World::new().await;
    let (_one, here) = world.served().await;
    let (_other, there) = world.served().await;
    let mut account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let mut stream = watch(&here, account.id).await.unwrap();

    let present = next(&mut stream).await;
    assert_eq!(present.state(), AccountState::Active);
    assert_eq!(present.token.unwrap().access_token, account.access_token);

    // Another replica refreshes.
    let fresh = there.refused(account.id, 1).await.unwrap();
    let told = next(&mut stream).await;
    assert_eq!((told.state(), told.version), (AccountState::Active, 2));
    assert_eq!(told.token.unwrap().access_token, fresh.access_token);

    world.demo.revoke("ada", None);
    assert!(there.refused(account.id, 2).await.is_err());
    let told = next(&mut stream).await;
    assert_eq!(told.state(), AccountState::ReauthRequired);
    assert_eq!(told.reason, "INVALID_REFRESH_TOKEN");
    assert!(told.token.is_none());

    world.reconnect(&mut account, Flavour::Google).await;
    let told = next(&mut stream).await;
    assert_eq!(told.state(), AccountState::Active);
    assert_eq!(told.token.unwrap().access_token, account.access_token);

    there.revoke(account.id).await.unwrap();
    let told = next(&mut stream).await;
    assert_eq!(told.state(), AccountState::Disconnected);
    assert!(told.token.is_none());
}

#[tokio::test]
async fn an_expired_account_is_refreshed_for_its_watcher() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    let mut stream = watch(&client, account.id).await.unwrap();
    let present = next(&mut stream).await;
    assert_eq!(present.state(), AccountState::Active);
    assert!(present.token.is_none(), "an expired token was told");
    let told = next(&mut stream).await;
    assert_eq!(told.token.unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
}

#[tokio::test]
async fn a_watch_on_nothing_and_one_too_many_are_refused() {
    let world = World::new().await.with("WATCH_LIMIT", "1");
    let (_replica, client) = world.served().await;
    let mut nothing = watch(&client, uuid::Uuid::nil()).await.unwrap();
    assert_eq!(refusal(nothing.message().await).code, Code::NotFound);
    drop(nothing);
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let first = eventually(async || watch(&client, account.id).await.ok()).await;
    let refused = refusal(watch(&client, account.id).await.map(drop));
    assert_eq!(refused.reason, "TOO_MANY_WATCHERS");
    assert!(refused.retry_after.is_some());
    drop(first);
    // Who leaves makes room.
    eventually(async || watch(&client, account.id).await.ok()).await;
}

#[tokio::test]
async fn a_watch_ends_cleanly_when_the_service_stops() {
    let world = World::new().await;
    let (replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let mut stream = watch(&client, account.id).await.unwrap();
    next(&mut stream).await;
    let (ended, ()) = tokio::join!(stream.message(), replica.stop());
    assert!(matches!(ended, Ok(None)), "{ended:?}");
}
