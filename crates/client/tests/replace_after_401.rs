//! Tokens that the provider's API answered with 401.

use latchkey_client::TokenError;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{World, status};

// R33
#[tokio::test]
async fn many_reports_of_one_refused_token_cause_one_refresh() {
    let world = World::create().await;
    let client = world.client();
    let refused = client.access_token(world.account).await.unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (client, refused) = (client.clone(), refused.clone());
        callers.spawn(async move { client.replace_after_401(&refused).await.unwrap().version() });
    }
    assert!(callers.join_all().await.iter().all(|&version| version == 2));
    assert_eq!((world.state.refreshes(), world.state.issued()), (1, 2));
}

#[tokio::test]
async fn a_late_report_of_an_old_token_is_answered_from_memory() {
    let world = World::create().await;
    let client = world.client();
    let first = client.access_token(world.account).await.unwrap();
    client.replace_after_401(&first).await.unwrap();
    let again = client.replace_after_401(&first).await.unwrap();
    assert_eq!((again.version(), world.state.refreshes()), (2, 1));
}

#[tokio::test]
async fn a_token_marked_as_refused_is_not_returned_again() {
    let world = World::create().await;
    let client = world.client();
    let token = client.access_token(world.account).await.unwrap();
    token.refused();
    let next = client.access_token(world.account).await.unwrap();
    assert_eq!((next.version(), world.state.refreshes()), (2, 1));
}

#[tokio::test]
async fn a_refused_token_is_no_fallback() {
    let world = World::create().await;
    let client = world.client();
    let token = client.access_token(world.account).await.unwrap();
    world.state.fail_always(Some(status(
        Code::Unavailable,
        "PROVIDER_UNAVAILABLE",
        Some(std::time::Duration::from_mins(1)),
        &[],
    )));
    let error = client.replace_after_401(&token).await.unwrap_err();
    assert!(matches!(error, TokenError::RetryLater { .. }), "{error}");
    let error = client.access_token(world.account).await.unwrap_err();
    assert!(matches!(error, TokenError::RetryLater { .. }), "{error}");
}

#[tokio::test]
async fn an_api_that_refuses_everything_causes_no_repeated_refreshes() {
    let world = World::create().await;
    let client = world.client();
    let first = client.access_token(world.account).await.unwrap();
    let second = client.replace_after_401(&first).await.unwrap();
    for _ in 0..10 {
        let error = client.replace_after_401(&second).await.unwrap_err();
        assert_eq!(error, TokenError::StillRefused);
    }
    let kept = client.access_token(world.account).await.unwrap();
    assert_eq!((kept.version(), world.state.issued()), (2, 2));

    world.advance(31);
    let third = client.replace_after_401(&second).await.unwrap();
    assert_eq!(third.version(), 3, "after the cool-down it is tried again");
}

#[tokio::test]
async fn an_account_connected_anew_may_count_from_the_start() {
    let world = World::create().await;
    let client = world.client();
    let first = client.access_token(world.account).await.unwrap();
    let second = client.replace_after_401(&first).await.unwrap();
    assert_eq!(second.version(), 2);
    world.advance(31);
    world.state.set_version(world.account, 0);
    let anew = client.replace_after_401(&second).await.unwrap();
    assert_eq!(anew.version(), 1);
    let kept = client.access_token(world.account).await.unwrap();
    assert_eq!(kept.version(), 1);
}
