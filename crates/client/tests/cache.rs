//! What is answered from memory, and when it is refreshed.

use std::time::Duration;

use latchkey_client::{Account, TokenRequest};
use latchkey_domain::{AccountId, ProviderName, WorkspaceId};

use crate::support::{World, short_wait, until};

// R30
#[tokio::test]
async fn a_second_caller_is_answered_from_memory() {
    let world = World::create().await;
    let client = world.client();
    let first = client.access_token(world.account).await.unwrap();
    let second = client.access_token(world.account).await.unwrap();
    assert_eq!(first.expose(), second.expose());
    assert_eq!(first.account_id(), world.account);
    assert_eq!(world.state.gets(), 1);
}

// R30
#[tokio::test]
async fn an_account_may_be_named_by_its_handle() {
    let world = World::create().await;
    let client = world.client();
    let account = Account::Handle {
        workspace: WorkspaceId::generate(),
        provider: ProviderName::GOOGLE.parse().unwrap(),
        handle: "ada@company.com".parse().unwrap(),
    };
    client.access_token(account.clone()).await.unwrap();
    client.access_token(account).await.unwrap();
    assert_eq!(world.state.gets(), 1);
}

// R30
#[tokio::test]
async fn a_token_with_less_life_than_asked_for_is_not_handed_out() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    world.advance(3600 - 300);
    let request = TokenRequest::new(world.account).min_remaining(Duration::from_mins(10));
    let token = client.access_token(request).await.unwrap();
    assert_eq!(token.version(), 2);
    assert!(token.remaining(world.now()) >= Duration::from_mins(10));
}

// R30
#[tokio::test]
async fn a_token_without_the_scopes_asked_for_is_not_handed_out() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    let granted = TokenRequest::new(world.account).scope("mail.read");
    client.access_token(granted).await.unwrap();
    assert_eq!(world.state.gets(), 1, "what memory has is not asked for");

    let wider = TokenRequest::new(world.account).scope("calendar.read");
    client.access_token(wider).await.unwrap();
    let seen = world.state.requests.lock().unwrap();
    assert_eq!(seen[1].0.required_scopes, ["calendar.read"]);
}

// R30
#[tokio::test]
async fn a_token_in_use_is_refreshed_ahead_while_callers_get_the_present_one() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    // Beyond the minimum of 60 s plus at most 1.2 times 5 minutes.
    world.advance(3600 - 430);
    client.access_token(world.account).await.unwrap();
    short_wait().await;
    assert_eq!(world.state.issued(), 1, "not yet due");

    // Within 60 s plus at least 0.8 times 5 minutes.
    world.advance(140);
    world.state.delay(Duration::from_millis(200));
    let present = client.access_token(world.account).await.unwrap();
    assert_eq!(present.version(), 1, "nobody waits");
    until("the refresh ahead", || world.state.issued() == 2).await;
    short_wait().await;
    let next = client.access_token(world.account).await.unwrap();
    assert_eq!(next.version(), 2);
    assert_eq!(
        world.state.gets(),
        3,
        "a confirmation and one refresh ahead"
    );
}

// R30
#[tokio::test]
async fn accounts_are_not_refreshed_ahead_all_at_once() {
    let world = World::create().await;
    let client = world.client();
    let accounts: Vec<_> = (0..40).map(|_| AccountId::generate()).collect();
    for &account in &accounts {
        client.access_token(account).await.unwrap();
    }
    // In the middle of the jitter range: only some are due.
    world.advance(3600 - 360);
    world.state.grants(&["mail.read"]);
    for &account in &accounts {
        client.access_token(account).await.unwrap();
        client.access_token(account).await.unwrap();
    }
    short_wait().await;
    let refreshed = world.state.issued() - accounts.len();
    assert!((5..=35).contains(&refreshed), "{refreshed} of 40");
}

// R30
#[tokio::test]
async fn a_provider_whose_tokens_live_short_is_not_asked_at_every_call() {
    let world = World::create().await;
    world.state.life(40);
    let client = world.client();
    for _ in 0..10 {
        client.access_token(world.account).await.unwrap();
    }
    assert_eq!(world.state.issued(), 1);
}

// R37
#[tokio::test]
async fn a_cached_token_is_revalidated_with_the_service() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    world.advance(299);
    client.access_token(world.account).await.unwrap();
    assert_eq!(world.state.gets(), 1);
    world.advance(2);
    let token = client.access_token(world.account).await.unwrap();
    assert_eq!((world.state.gets(), token.version()), (2, 1));
}

// R37
#[tokio::test]
async fn a_forgotten_account_is_asked_for_anew() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    client.forget(&world.account.into());
    assert_eq!(client.cached_accounts(), 0);
    client.access_token(world.account).await.unwrap();
    assert_eq!(world.state.gets(), 2);
}

// R37
#[tokio::test]
async fn a_revoked_account_is_forgotten() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    assert!(client.revoke_account(world.account).await.unwrap());
    assert_eq!(client.cached_accounts(), 0);
}

#[tokio::test]
async fn memory_is_bounded_and_the_longest_unused_go_first() {
    let world = World::create().await;
    let client = world.builder().capacity(16).build().unwrap();
    let favourite = world.account;
    for _ in 0..64 {
        client.access_token(favourite).await.unwrap();
        client.access_token(AccountId::generate()).await.unwrap();
        assert!(
            client.cached_accounts() <= 16,
            "{} kept",
            client.cached_accounts()
        );
    }
    assert_eq!(world.state.gets(), 65, "the one in use stayed");
}

// A replica with an outdated cache answers an older token.
#[tokio::test]
async fn an_older_token_never_replaces_a_newer_one() {
    let world = World::create().await;
    let client = world.client();
    let first = client.access_token(world.account).await.unwrap();
    let second = client.replace_after_401(&first).await.unwrap();
    assert_eq!(second.version(), 2);
    world.state.set_version(world.account, 1);
    world.advance(301);
    let token = client.access_token(world.account).await.unwrap();
    assert_eq!(token.version(), 2);
}
