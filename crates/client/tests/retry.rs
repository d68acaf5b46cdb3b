//! RetryInfo and the caller's deadline.

use std::time::{Duration, Instant};

use latchkey_client::{Reason, TokenError, TokenRequest};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::support::{LONG, World, status};

fn throttled(after: Duration) -> Status {
    status(
        Code::ResourceExhausted,
        "RATE_LIMIT_ERROR",
        Some(after),
        &[],
    )
}

// R32
#[tokio::test]
async fn the_client_waits_for_retry_info_and_then_asks_again() {
    let world = World::create().await;
    world.state.fail_once(throttled(Duration::from_millis(300)));
    let client = world.client();
    let started = Instant::now();
    client.access_token(world.account).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(world.state.gets(), 2);
}

// R32
#[tokio::test]
async fn a_caller_does_not_wait_beyond_its_deadline() {
    let world = World::create().await;
    world.state.fail_once(throttled(Duration::from_mins(2)));
    let client = world.client();
    let request = TokenRequest::new(world.account).within(Duration::from_mins(1));
    let refused = timeout(LONG, client.access_token(request)).await;
    let error = refused.unwrap().unwrap_err();
    let TokenError::RetryLater { reason, after } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, Reason::RateLimit);
    assert!((90..=133).contains(&after.as_secs()), "{after:?}");
}

// R32
#[tokio::test]
async fn nobody_asks_before_retry_info_is_over() {
    let world = World::create().await;
    world.state.fail_once(throttled(Duration::from_mins(2)));
    let client = world.client();
    for _ in 0..10 {
        let request = TokenRequest::new(world.account).within(Duration::from_secs(2));
        client.access_token(request).await.unwrap_err();
    }
    assert_eq!(world.state.gets(), 1);
}

// R33
#[tokio::test]
async fn all_who_waited_out_retry_info_share_the_next_call() {
    let world = World::create().await;
    world.state.fail_once(throttled(Duration::from_millis(300)));
    let client = world.client();
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let (client, account) = (client.clone(), world.account);
        callers.spawn(async move { client.access_token(account).await.unwrap() });
    }
    callers.join_all().await;
    assert_eq!(world.state.gets(), 2);
}

#[tokio::test]
async fn a_slow_service_holds_nobody_beyond_the_deadline() {
    let world = World::create().await;
    world.state.delay(Duration::from_mins(1));
    let client = world.client();
    let request = TokenRequest::new(world.account).within(Duration::from_millis(200));
    let refused = timeout(LONG, client.access_token(request)).await;
    let error = refused.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::DeadlinePassed));
}

#[tokio::test]
async fn an_unlimited_deadline_works() {
    let world = World::create().await;
    world.state.fail_once(throttled(Duration::from_millis(50)));
    let client = world.builder().confirm_after(Duration::MAX).build();
    let client = client.unwrap();
    let request = TokenRequest::new(world.account).within(Duration::MAX);
    client.access_token(request.clone()).await.unwrap();
    client.access_token(request).await.unwrap();
    assert_eq!(world.state.gets(), 2);
}
