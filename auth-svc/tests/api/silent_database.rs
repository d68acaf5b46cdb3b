//! A database that goes away without a reset: packets are swallowed, and new
//! connections work.

use std::time::Duration;

use latchkey_demo_provider::Decision;
use latchkey_testkit::{Role, TcpForwarder};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::helpers::{Browser, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_goes_on_without_a_restart() {
    let app = TestApp::start().await;
    let url = app.database.url(Role::Auth);
    let way = TcpForwarder::start(&url).await;
    let through = way.url(&url);
    let stop = CancellationToken::new();
    let changes = [
        ("DATABASE_URL", through.as_str()),
        // One that is just going back is lost until TCP gives it up: decision 20.
        ("DATABASE_MAX_CONNECTIONS", "4"),
        ("RATE_LIMIT_PER_ADDRESS", "0"),
    ];
    let (base, operator, _) = app.replica_until(&changes, &stop);
    let _ends = stop.drop_guard();
    let mut browser = app.browser().at(&base);
    app.round(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    assert!(browser.me().await.is_some());

    way.blackhole();
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let mut browser = browser.clone();
        asking.spawn(async move { browser.get("/auth/me").await.status });
    }
    while let Some(answered) = asking.join_next().await {
        answered.unwrap();
    }
    // The connections that were lost are not used again.
    tokio::time::timeout(Duration::from_secs(30), async {
        while browser.me().await.is_none() {}
    })
    .await
    .expect("the replica did not go on");
    let mut operator = Browser::new(operator);
    assert_eq!(operator.get("/readyz").await.status, 200);
    let mut another = app.browser().at(&base);
    let answer = app
        .round(&mut another, "/auth/google", &Decision::allow("ada"))
        .await;
    assert_eq!(answer.status, 302, "{}", answer.body);
}
