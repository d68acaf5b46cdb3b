//! Watches of accounts in use.

use std::time::Duration;

use latchkey_client::{TokenClient, TokenError};
use latchkey_domain::AccountId;
use latchkey_proto::token::AccountState;
use latchkey_testkit::eventually;
use tonic::{Code, Status};

use crate::support::{World, short_wait, status, until};

/// A client that has cached the account's token and watches it.
async fn watching(world: &World) -> TokenClient {
    let client = world.builder().watches(8).build().unwrap();
    client.access_token(world.account).await.unwrap();
    until("the account is watches", || world.state.watches.open() == 1).await;
    client
}

/// Waits until this version is cached; earlier versions are accepted meanwhile.
async fn holds(client: &TokenClient, account: AccountId, version: i64) {
    eventually(&format!("version {version}"), async || {
        client.access_token(account).await.unwrap().version() == version
    })
    .await;
}

// R37
#[tokio::test]
async fn an_account_without_tokens_any_more_is_gone_from_memory_at_once() {
    for state in [AccountState::Disconnected, AccountState::ReauthRequired] {
        let world = World::create().await;
        let client = watching(&world).await;
        world.state.watches.becomes(world.account, state);
        until("it is forgotten", || client.cached_accounts() == 0).await;
        until("and not watches", || world.state.watches.open() == 0).await;
        assert_eq!(world.state.gets(), 1);
    }
}

// R37
#[tokio::test]
async fn an_account_that_nobody_knows_any_more_is_gone_from_memory() {
    let world = World::create().await;
    let client = watching(&world).await;
    let gone = status(Code::NotFound, "ACCOUNT_NOT_FOUND", None, &[]);
    world.state.watches.refuse(Some(gone));
    world.state.watches.end();
    until("it is forgotten", || client.cached_accounts() == 0).await;
}

// R36
#[tokio::test]
async fn an_account_that_a_new_policy_excludes_is_gone_from_memory() {
    let world = World::create().await;
    let client = watching(&world).await;
    let closed = status(Code::PermissionDenied, "CALLER_NOT_ALLOWED", None, &[]);
    world.state.watches.end_with(closed);
    until("it is forgotten", || client.cached_accounts() == 0).await;
}

// R30
#[tokio::test]
async fn a_new_token_arrives_unasked() {
    let world = World::create().await;
    let client = watching(&world).await;
    let elsewhere = world.client();
    let refused = elsewhere.access_token(world.account).await.unwrap();
    elsewhere.replace_after_401(&refused).await.unwrap();
    let asked = world.state.gets();
    holds(&client, world.account, 2).await;
    assert_eq!(world.state.gets(), asked);
}

// R33
#[tokio::test]
async fn a_token_that_came_unasked_for_a_refused_one_is_its_replacement() {
    let world = World::create().await;
    let client = watching(&world).await;
    let refused = client.access_token(world.account).await.unwrap();
    refused.refused();
    let elsewhere = world.client();
    elsewhere.access_token(world.account).await.unwrap();
    elsewhere.replace_after_401(&refused).await.unwrap();
    holds(&client, world.account, 2).await;

    let second = client.access_token(world.account).await.unwrap();
    let error = client.replace_after_401(&second).await.unwrap_err();
    assert_eq!(error, TokenError::StillRefused);
    assert_eq!(world.state.issued(), 2);
}

// R37
#[tokio::test]
async fn a_stream_that_ended_or_could_not_be_opened_is_opened_again() {
    let world = World::create().await;
    let client = watching(&world).await;
    for failure in [
        None,
        Some(Status::unavailable("restarting")),
        Some(status(
            Code::ResourceExhausted,
            "TOO_MANY_WATCHERS",
            Some(Duration::from_millis(100)),
            &[],
        )),
    ] {
        let asked = world.state.watches.requested();
        world.state.watches.refuse(failure.clone());
        world.state.watches.end();
        until("asked again", || world.state.watches.requested() > asked).await;
        world.state.watches.refuse(None);
        until("open again", || world.state.watches.open() == 1).await;
    }
    world
        .state
        .watches
        .becomes(world.account, AccountState::Disconnected);
    until("it is forgotten", || client.cached_accounts() == 0).await;
}

// R36, R37
#[tokio::test]
async fn a_client_that_may_not_watch_works_without() {
    for refusal in [
        status(Code::PermissionDenied, "CALLER_NOT_ALLOWED", None, &[]),
        Status::unimplemented("an older service"),
    ] {
        let world = World::create().await;
        world.state.watches.refuse(Some(refusal));
        let client = world.builder().watches(8).build().unwrap();
        client.access_token(world.account).await.unwrap();
        until("it asks", || world.state.watches.requested() == 1).await;
        short_wait().await;
        for _ in 0..3 {
            client.access_token(AccountId::generate()).await.unwrap();
        }
        short_wait().await;
        assert_eq!(world.state.watches.requested(), 1, "and not again");

        let asked = world.state.gets();
        world.advance(301);
        client.access_token(world.account).await.unwrap();
        assert_eq!(world.state.gets(), asked + 1, "age is what is left");
    }
}

#[tokio::test]
async fn no_more_accounts_are_watched_than_was_said() {
    let world = World::create().await;
    let client = world.builder().watches(2).build().unwrap();
    for _ in 0..5 {
        client.access_token(AccountId::generate()).await.unwrap();
    }
    until("two", || world.state.watches.open() == 2).await;
    short_wait().await;
    assert_eq!(world.state.watches.requested(), 2);
}

#[tokio::test]
async fn what_is_not_in_memory_is_not_watched() {
    let world = World::create().await;
    let client = watching(&world).await;
    client.forget(&world.account.into());
    until("forgotten", || world.state.watches.open() == 0).await;

    client.access_token(world.account).await.unwrap();
    until("watches again", || world.state.watches.open() == 1).await;
    drop(client);
    until("no client any more", || world.state.watches.open() == 0).await;
}
