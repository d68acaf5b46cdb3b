//! One trace through outbox, broker and consumer (R45). A binary of its own:
//! telemetry is set up once for a process.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use latchkey_config::Environment;
use latchkey_domain::EventId;
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::consumer::{Consumer, HandleError, Handler, Received};
use latchkey_messaging::outbox::{Message, Relay, Schema, enqueue};
use latchkey_messaging::topology::Subscription;
use latchkey_proto::events::UserAuthenticated;
use latchkey_service::telemetry;
use latchkey_testkit::{TestBroker, TestDatabase};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Sends the id of the trace in which it is called.
struct Tells(mpsc::UnboundedSender<Option<String>>);

#[async_trait]
impl Handler for Tells {
    async fn handle(&self, _: &Received) -> Result<(), HandleError> {
        self.0.send(telemetry::current_traceparent()).unwrap();
        Ok(())
    }
}

/// The trace id of a `traceparent`.
fn trace_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap()
}

// R45
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_continues_the_trace_of_the_publisher() {
    let environment: Environment = [("RUST_LOG", "info")].into_iter().collect();
    let settings = telemetry::Settings::from_environment(&environment).unwrap();
    let _telemetry = settings.init("test").unwrap();
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let config = BrokerConfig::parse(broker.url(), "test").unwrap();
    let (sender, mut told) = mpsc::unbounded_channel();
    let subscription = Subscription::SYNC_SVC;
    let stop = CancellationToken::new();
    let consumer = Consumer::new(config.clone(), subscription, Arc::new(Tells(sender)));
    let consuming = tokio::spawn(consumer.run(stop.clone()));
    let relay = Relay::new(database.pool().clone(), Schema::Auth, config, "/test");
    let relaying = tokio::spawn(relay.run(stop.clone()));

    let written = async {
        let mut transaction = database.pool().begin().await.unwrap();
        let event = UserAuthenticated::default();
        let message = Message::event(EventId::generate(), "x", &event);
        enqueue(&mut transaction, Schema::Auth, message)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        telemetry::current_traceparent().unwrap()
    }
    .instrument(tracing::info_span!("sign-in"))
    .await;

    let handled = tokio::time::timeout(Duration::from_secs(30), told.recv())
        .await
        .expect("not handled")
        .unwrap()
        .unwrap();
    assert_eq!(trace_id(&handled), trace_id(&written));
    assert_ne!(handled, written, "a span of its own");
    stop.cancel();
    consuming.await.unwrap();
    relaying.await.unwrap();
}
