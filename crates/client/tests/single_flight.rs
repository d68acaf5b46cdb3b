//! One call to the service per account.

use std::time::Duration;

use latchkey_client::{Reason, TokenError, TokenRequest};
use latchkey_domain::AccountId;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{World, status, until};

// R33
#[tokio::test]
async fn many_callers_of_one_account_cause_one_call() {
    let world = World::create().await;
    world.state.delay(Duration::from_millis(100));
    let client = world.client();
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let (client, account) = (client.clone(), world.account);
        callers.spawn(async move { client.access_token(account).await.unwrap().version() });
    }
    assert!(callers.join_all().await.iter().all(|&version| version == 1));
    assert_eq!(world.state.gets(), 1);
}

// R34
#[tokio::test]
async fn many_callers_of_one_account_share_its_refusal() {
    let world = World::create().await;
    world.state.delay(Duration::from_millis(100));
    world.state.fail_always(Some(status(
        Code::FailedPrecondition,
        "INVALID_REFRESH_TOKEN",
        None,
        &[],
    )));
    let client = world.client();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (client, account) = (client.clone(), world.account);
        callers.spawn(async move { client.access_token(account).await.unwrap_err() });
    }
    for error in callers.join_all().await {
        assert_eq!(error.reason(), Some(&Reason::InvalidRefreshToken));
    }
    assert_eq!(world.state.gets(), 1);
}

// R33
#[tokio::test]
async fn callers_with_other_needs_wait_for_the_pending_fetch_and_use_its_token_if_it_suffices() {
    let world = World::create().await;
    world.state.delay(Duration::from_millis(100));
    let client = world.client();
    let requests = [
        TokenRequest::new(world.account),
        TokenRequest::new(world.account).scope("mail.read"),
        TokenRequest::new(world.account).min_remaining(Duration::from_mins(15)),
    ];
    let mut callers = JoinSet::new();
    for request in requests {
        let client = client.clone();
        callers.spawn(async move { client.access_token(request).await.unwrap() });
    }
    callers.join_all().await;
    assert_eq!(world.state.gets(), 1);
}

// R33
#[tokio::test]
async fn a_refusal_is_not_shared_with_callers_of_other_needs() {
    let world = World::create().await;
    world.state.delay(Duration::from_millis(100));
    world.state.fail_once(status(
        Code::FailedPrecondition,
        "INSUFFICIENT_SCOPES",
        None,
        &[("missing_scopes", "calendar.read")],
    ));
    let client = world.client();
    let wider = TokenRequest::new(world.account).scope("calendar.read");
    let (wider, plain) = tokio::join!(
        client.access_token(wider),
        client.access_token(world.account)
    );
    assert!(matches!(wider, Err(TokenError::SignInAgain { .. })));
    assert_eq!(plain.unwrap().version(), 1);
}

// R33
#[tokio::test]
async fn a_caller_that_leaves_does_not_cancel_the_fetch() {
    let world = World::create().await;
    world.state.delay(Duration::from_millis(200));
    let client = world.client();
    let leaver = client.access_token(world.account);
    let left = tokio::time::timeout(Duration::from_millis(50), leaver).await;
    assert!(left.is_err());
    until("the fetch ends", || world.state.issued() == 1).await;
    client.access_token(world.account).await.unwrap();
    assert_eq!(world.state.gets(), 1);
}

#[tokio::test]
async fn accounts_do_not_wait_for_one_another() {
    let world = World::create().await;
    world.state.delay(Duration::from_secs(1));
    let client = world
        .builder()
        .within(Duration::from_mins(2))
        .build()
        .unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        callers.spawn(async move { client.access_token(AccountId::generate()).await.unwrap() });
    }
    // Sequentially they would take 50 s.
    let all = tokio::time::timeout(Duration::from_secs(40), callers.join_all());
    assert!(all.await.is_ok());
    assert_eq!(world.state.gets(), 50);
}

// R45
#[tokio::test]
async fn the_caller_s_trace_leads_into_the_service() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let world = World::create().await;
    let client = world
        .builder()
        .traceparent(|| Some(TRACE.to_owned()))
        .build()
        .unwrap();
    client.access_token(world.account).await.unwrap();
    let seen = world.state.requests.lock().unwrap();
    assert_eq!(seen[0].1.as_deref(), Some(TRACE));
}
