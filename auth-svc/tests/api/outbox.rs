use base64::Engine as _;
use latchkey_demo_provider::Decision;
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::topology::{self, SYNC_SVC_QUEUE};
use latchkey_testkit::{TestBroker, eventually};

use crate::support::{APP, RowCounts, TestApp};

// R35
#[tokio::test]
async fn the_event_contains_no_token_in_clear() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    let (payload,): (Vec<u8>,) = sqlx::query_as("SELECT payload FROM auth.outbox")
        .fetch_one(app.database.pool())
        .await
        .unwrap();
    let issued = app.demo.issued();
    assert!(issued.len() >= 4, "code, access, refresh and ID token");
    for issued in issued {
        let token = issued.token.as_bytes();
        assert!(
            !payload.windows(token.len()).any(|window| window == token),
            "{}",
            issued.kind
        );
    }
}

// R12, WP7
#[tokio::test]
async fn an_unavailable_broker_or_sync_service_fails_no_sign_in() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let response = app
        .run_flow(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    assert_eq!(
        (response.status, response.location()),
        (302, APP.to_owned())
    );
    assert!(browser.me().await.is_some());
    assert_eq!(
        app.row_counts().await,
        RowCounts::ONE_SIGN_IN,
        "the event waits in the outbox"
    );
}

// R12
#[tokio::test]
async fn the_event_reaches_the_broker_once_and_leaves_the_outbox() {
    let broker = TestBroker::create().await;
    // sync-svc declares the queues.
    let connection = BrokerConfig::parse(broker.url(), "test")
        .unwrap()
        .connect()
        .await
        .unwrap();
    topology::declare(&connection).await.unwrap();
    let app = TestApp::start_with(&[("AMQP_URL", broker.url())]).await;
    app.signed_in("ada").await;
    let mut taken = Vec::new();
    eventually("the event is published", async || {
        taken.extend(broker.take(SYNC_SVC_QUEUE, 10).await.unwrap_or_default());
        !taken.is_empty() && app.row_counts().await.events == 0
    })
    .await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0]["routing_key"], "user.authenticated.v1");
    assert_eq!(app.row_counts().await.events, 0);
    let payload = taken[0]["payload"].as_str().unwrap();
    let payload = base64::engine::general_purpose::STANDARD
        .decode(payload)
        .unwrap();
    let event: latchkey_proto::events::UserAuthenticated =
        prost::Message::decode(payload.as_slice()).unwrap();
    assert_eq!(event.identity.unwrap().handle, "ada@acme.example");
}
// RP17
#[tokio::test]
async fn if_the_event_cannot_be_written_nothing_is_written() {
    let app = TestApp::start().await;
    sqlx::query("ALTER TABLE auth.outbox ADD CONSTRAINT broken CHECK (false) NOT VALID")
        .execute(app.database.pool())
        .await
        .unwrap();
    let mut browser = app.browser().json();
    let response = app
        .run_flow(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (503, "database_unavailable")
    );
    assert!(browser.session().is_none());
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}
