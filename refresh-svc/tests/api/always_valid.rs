//! R30: a token with the requested life and scopes.

use std::time::{Duration, Instant};

use latchkey_demo_provider::{ExpiresIn, Flavour};
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::{AccountHandle, AccountSelector, GetAccessTokenRequest};
use tonic::Code;

use crate::support::{Account, Token, World, eventually, refusal};

async fn now(world: &World) -> i64 {
    sqlx::query_scalar("SELECT extract(epoch FROM now())::bigint")
        .fetch_one(world.pool())
        .await
        .unwrap()
}

fn by_handle(account: &Account, handle: &str) -> GetAccessTokenRequest {
    GetAccessTokenRequest {
        account: Some(AccountSelector {
            selector: Some(Selector::Handle(AccountHandle {
                workspace_id: account.binding.workspace.to_string(),
                provider: account.binding.provider.to_string(),
                handle: handle.to_owned(),
            })),
        }),
        ..GetAccessTokenRequest::default()
    }
}

// R30
#[tokio::test]
async fn a_token_with_life_enough_is_answered_without_asking_the_provider() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;

    let token = client.get(account.id).await.unwrap();

    assert_eq!(token.access_token, account.access_token);
    assert_eq!(token.token_type, "Bearer");
    assert_eq!(token.account_id, account.id.to_string());
    assert_eq!(token.granted_scopes, ["email", "mail.read", "openid"]);
    assert_eq!(world.demo.refreshes(Flavour::Google), 0);
}

// R30, WP1: the provider's `expires_in` counts.
#[tokio::test]
async fn an_expired_token_is_refreshed_and_lives_as_long_as_the_provider_says() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world
        .demo
        .change(|settings| settings.access_token_lifetime_s = 1234);
    for flavour in Flavour::ALL {
        let account = world.expired(flavour).await;

        let token = client.get(account.id).await.unwrap();

        assert_ne!(token.access_token, account.access_token);
        let issued = world.demo.issued();
        assert!(
            issued
                .iter()
                .any(|issued| issued.token == token.access_token)
        );
        let left = token.expires_at.unwrap().seconds - now(&world).await;
        assert!((1224..=1234).contains(&left), "{left}");
        assert_eq!(token.version, 2);
        assert_eq!(world.demo.refreshes(flavour), 1);
    }
}

// R30
#[tokio::test]
async fn an_account_is_found_by_its_handle_in_any_case() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;

    let token = client.ask(by_handle(&account, "ADA@Acme.example")).await;
    assert_eq!(token.unwrap().account_id, account.id.to_string());

    let other = client.ask(by_handle(&account, "bob@acme.example")).await;
    assert_eq!(refusal(other).reason, "ACCOUNT_NOT_FOUND");
}

// R30: a handle is a label, never an identity.
#[tokio::test]
async fn a_handle_of_two_owners_is_answered_for_neither() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let one = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let mut other = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    other.binding.workspace = one.binding.workspace;
    sqlx::query("UPDATE vault.credential SET workspace_id = $2 WHERE account_id = $1")
        .bind(other.id.as_uuid())
        .bind(one.binding.workspace.as_uuid())
        .execute(world.pool())
        .await
        .unwrap();

    let refused = refusal(client.ask(by_handle(&one, &one.handle)).await);

    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(refused.reason, "ACCOUNT_AMBIGUOUS");
}

// R30, RF1.
#[tokio::test]
async fn near_its_end_a_token_is_answered_and_a_new_one_is_fetched_in_the_background() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Microsoft, "ada", Token::Expires(150))
        .await;

    let token = client.get(account.id).await.unwrap();
    assert_eq!(token.access_token, account.access_token);

    let newer = eventually(async || {
        let token = client.get(account.id).await.unwrap();
        (token.version == 2).then_some(token)
    })
    .await;
    assert_ne!(newer.access_token, account.access_token);
    assert_eq!(world.demo.refreshes(Flavour::Microsoft), 1);
}

// R30
#[tokio::test]
async fn a_caller_that_asks_for_more_life_gets_a_newer_token() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(900))
        .await;

    let enough = client.get_with_life(account.id, 800).await.unwrap();
    assert_eq!(enough.version, 1);
    let more = client.get_with_life(account.id, 1000).await.unwrap();
    assert_eq!(more.version, 2);
}

// R30
#[tokio::test]
async fn more_life_than_the_provider_issues_gets_a_fresh_token_once() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world
        .demo
        .change(|settings| settings.access_token_lifetime_s = 300);
    let account = world.expired(Flavour::Google).await;

    for _ in 0..5 {
        let token = client.get_with_life(account.id, 3600).await.unwrap();
        assert_eq!(token.version, 2);
    }
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
}

// R30, WP1.
#[tokio::test]
async fn a_provider_that_does_not_say_how_long_is_given_ten_minutes() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world
        .demo
        .change(|settings| settings.expires_in = ExpiresIn::Absent);
    let account = world.expired(Flavour::Google).await;
    let token = client.get(account.id).await.unwrap();
    let left = token.expires_at.unwrap().seconds - now(&world).await;
    assert!((590..=600).contains(&left), "{left}");

    // The same applies to a token from a sign-in.
    let young = world
        .connect(Flavour::Google, "ada", Token::NotSaid(60))
        .await;
    assert_eq!(client.get(young.id).await.unwrap().version, 1);
    let old = world
        .connect(Flavour::Google, "ada", Token::NotSaid(601))
        .await;
    assert_eq!(client.get(old.id).await.unwrap().version, 2);
}

// R30
#[tokio::test]
async fn an_account_without_an_access_token_gets_one() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.connect(Flavour::Oidc, "ada", Token::Absent).await;
    assert_eq!(client.get(account.id).await.unwrap().version, 2);
}

// R30: a token that the provider's API refused.
#[tokio::test]
async fn a_refused_token_is_replaced_once_however_many_report_it() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    assert_eq!(client.get(account.id).await.unwrap().version, 1);

    let answers = futures::future::join_all((0..20).map(|_| client.refused(account.id, 1))).await;

    for answer in answers {
        let token = answer.unwrap();
        assert_eq!(token.version, 2);
        assert_ne!(token.access_token, account.access_token);
    }
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
    assert_eq!(client.refused(account.id, 1).await.unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
}

// R30: the caller reports a wrong version.
#[tokio::test]
async fn a_version_that_was_never_given_causes_one_refresh_and_is_answered() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;

    let token = client.refused(account.id, i64::MAX).await.unwrap();

    assert_eq!(token.version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
}

// R30: a cached token is invalidated when it changes.
#[tokio::test]
async fn a_reconnect_is_answered_at_once_although_the_old_token_is_cached() {
    let world = World::new().await.with("TOKEN_CACHE_REVALIDATE", "10m");
    let (_replica, client) = world.served().await;
    let mut account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    // The listener needs a moment after the start.
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.get(account.id).await.unwrap();

    world.reconnect(&mut account, Flavour::Google).await;

    eventually(async || {
        let token = client.get(account.id).await.unwrap();
        (token.access_token == account.access_token).then_some(())
    })
    .await;
    assert_eq!(world.demo.refreshes(Flavour::Google), 0);
}

// R30: a valid token is answered although the database is down.
#[tokio::test]
async fn a_valid_cached_token_is_answered_while_the_database_is_down() {
    let world = World::new().await.with("TOKEN_CACHE_REVALIDATE", "1ms");
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let unknown = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    client.get(account.id).await.unwrap();

    world.cut_database_off().await;

    let begun = Instant::now();
    for _ in 0..20 {
        let token = client.get(account.id).await.unwrap();
        assert_eq!(token.access_token, account.access_token);
    }
    // Each would wait for a connection for seconds otherwise.
    assert!(begun.elapsed() < Duration::from_secs(20));
    let refused = refusal(client.get(unknown.id).await);
    assert_eq!(refused.code, Code::Unavailable);
    assert_eq!(refused.reason, "STORE_UNAVAILABLE");
    assert!(refused.retry_after.is_some());

    world.let_database_in().await;
    assert_eq!(client.get(unknown.id).await.unwrap().version, 1);
}
