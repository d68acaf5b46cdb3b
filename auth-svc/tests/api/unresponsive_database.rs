//! A database that stops responding without a reset: packets on old connections are
//! dropped, and new connections work.

use std::time::Duration;

use latchkey_demo_provider::Decision;
use latchkey_testkit::{Proxy, Role};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Browser, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_recovers_without_a_restart() {
    let app = TestApp::start().await;
    let url = app.database.url(Role::Auth);
    let (proxy, through) = Proxy::in_front_of(&url).await.unwrap();
    let stop = CancellationToken::new();
    let changes = [
        ("DATABASE_URL", through.as_str()),
        // A connection that is returned to the pool at that moment is lost until TCP times
        // out (decision 20), so one connection is not enough.
        ("DATABASE_MAX_CONNECTIONS", "4"),
        ("RATE_LIMIT_PER_ADDRESS", "0"),
    ];
    let (base, operator, _) = app.replica_until(&changes, &stop);
    let _ends = stop.drop_guard();
    let mut browser = app.browser().at(&base);
    app.run_flow(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    assert!(browser.me().await.is_some());

    proxy.drop_packets();
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let mut browser = browser.clone();
        asking.spawn(async move { browser.get("/auth/me").await.status });
    }
    while let Some(answered) = asking.join_next().await {
        answered.unwrap();
    }
    // The lost connections are not used again.
    tokio::time::timeout(Duration::from_secs(30), async {
        while browser.me().await.is_none() {}
    })
    .await
    .expect("the replica did not recover");
    let mut operator = Browser::new(operator);
    assert_eq!(operator.get("/readyz").await.status, 200);
    let mut another = app.browser().at(&base);
    let response = app
        .run_flow(&mut another, "/auth/google", &Decision::allow("ada"))
        .await;
    assert_eq!(response.status, 302, "{}", response.body);
}
