//! `WatchAccount`: the current state, then every change.

use latchkey_demo_provider::Flavour;
use latchkey_proto::token::AccountState;
use latchkey_testkit::PATIENCE;
use tonic::Code;

use crate::support::{Client, PolicyFile, Token, World, eventually, everything, next, refusal};

// R34, R37
#[tokio::test]
async fn a_watcher_receives_every_token_and_every_state() {
    let world = World::new().await;
    let (_one, here) = world.served().await;
    let (_other, there) = world.served().await;
    let mut account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let mut stream = here.watch(account.id).await.unwrap();

    let present = next(&mut stream).await;
    assert_eq!(present.state(), AccountState::Active);
    assert_eq!(present.token.unwrap().access_token, account.access_token);

    // Another replica refreshes.
    let fresh = there.refused(account.id, 1).await.unwrap();
    let item = next(&mut stream).await;
    assert_eq!((item.state(), item.version), (AccountState::Active, 2));
    assert_eq!(item.token.unwrap().access_token, fresh.access_token);

    world.demo.revoke("ada", None);
    world.end_minute().await;
    assert!(there.refused(account.id, 2).await.is_err());
    let item = next(&mut stream).await;
    assert_eq!(item.state(), AccountState::ReauthRequired);
    assert_eq!(item.reason, "INVALID_REFRESH_TOKEN");
    assert!(item.token.is_none());

    world.reconnect(&mut account, Flavour::Google).await;
    let item = next(&mut stream).await;
    assert_eq!(item.state(), AccountState::Active);
    assert_eq!(item.token.unwrap().access_token, account.access_token);

    there.revoke(account.id).await.unwrap();
    let item = next(&mut stream).await;
    assert_eq!(item.state(), AccountState::Disconnected);
    assert!(item.token.is_none());
}

#[tokio::test]
async fn an_expired_account_is_refreshed_for_its_watcher() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    let mut stream = client.watch(account.id).await.unwrap();
    let present = next(&mut stream).await;
    assert_eq!(present.state(), AccountState::Active);
    assert!(present.token.is_none(), "an expired token was item");
    let item = next(&mut stream).await;
    assert_eq!(item.token.unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
}

#[tokio::test]
async fn a_watch_on_a_missing_account_and_one_too_many_are_refused() {
    let world = World::new().await.with("WATCH_LIMIT", "1");
    let (_replica, client) = world.served().await;
    let mut nothing = client.watch(uuid::Uuid::nil()).await.unwrap();
    assert_eq!(refusal(nothing.message().await).code, Code::NotFound);
    drop(nothing);
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let first = eventually(async || client.watch(account.id).await.ok()).await;
    let refused = refusal(client.watch(account.id).await.map(drop));
    assert_eq!(refused.reason, "TOO_MANY_WATCHERS");
    assert!(refused.retry_after.is_some());
    drop(first);
    // A watch that ends frees its permit.
    eventually(async || client.watch(account.id).await.ok()).await;
}

#[tokio::test]
async fn a_watch_ends_cleanly_when_the_service_stops() {
    let world = World::new().await;
    let (replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let mut stream = client.watch(account.id).await.unwrap();
    next(&mut stream).await;
    let (ended, ()) = tokio::join!(stream.message(), replica.stop());
    assert!(matches!(ended, Ok(None)), "{ended:?}");
}

// R36: a stream may outlive policies, and ends when the policy no longer allows it.
#[tokio::test]
async fn a_watch_ends_when_a_new_policy_no_longer_allows_it() {
    let policy = PolicyFile::new(&everything("test-client"));
    let world = World::new().await.with_policy(&policy);
    let (replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let dead = world.expired(Flavour::Google).await;
    world.demo.revoke("ada", None);
    assert!(client.get(dead.id).await.is_err());
    let mut streams = [
        client.watch(account.id).await.unwrap(),
        // No token of this account was ever sent.
        client.watch(dead.id).await.unwrap(),
    ];
    for stream in &mut streams {
        next(stream).await;
    }

    // A policy that still allows it changes nothing.
    let both = format!("{}{}", everything("test-client"), everything("other"));
    policy.write(&both);
    let other = world.certificates.authority().client("other").unwrap();
    let other = Client::of(replica.grpc, &world.certificates, &other);
    eventually(async || other.get(account.id).await.ok()).await;

    policy.write(&everything("other"));
    for stream in &mut streams {
        let ended = tokio::time::timeout(PATIENCE, stream.message()).await;
        let refused = refusal(ended.expect("the stream goes on"));
        assert_eq!(refused.code, Code::PermissionDenied);
        assert_eq!(refused.reason, "CALLER_NOT_ALLOWED");
    }
    eventually(async || {
        let refused = world.audited(0).await.into_iter().filter(|row| {
            row.method == "WatchAccount" && row.outcome == "REFUSED" && row.account_id.is_some()
        });
        (refused.count() == 2).then_some(())
    })
    .await;
}
