use latchkey_domain::EventId;
use latchkey_messaging::parked::{self, Which};
use latchkey_messaging::topology::USER_AUTHENTICATED_QUEUE;
use latchkey_testkit::TestBroker;

use crate::consumer::{Script, consumer};
use crate::support::{Running, body, config, eventually, properties, publish};

const QUEUE: &str = USER_AUTHENTICATED_QUEUE;

#[tokio::test(flavor = "multi_thread")]
async fn parked_messages_are_listed_shown_and_given_back() {
    let broker = TestBroker::create().await;
    let at = config(broker.url());
    let failing = Script::failing(usize::MAX);
    let script = consumer(&broker, failing);
    let running = Running::start(move |stop| script.run(stop));
    eventually("the queue is there", async || {
        parked::list(&at, QUEUE, 1).await.is_ok()
    })
    .await;
    let ids = [EventId::generate(), EventId::generate()];
    for id in ids {
        publish(
            &broker,
            QUEUE,
            properties(id, "user.authenticated.v1"),
            &body(),
        )
        .await;
    }
    eventually("both are parked", async || {
        parked::list(&at, QUEUE, 10).await.unwrap().len() == 2
    })
    .await;
    running.stop().await;

    let shown = parked::show(&at, QUEUE, ids[1]).await.unwrap().unwrap();
    assert_eq!(shown.event_type, "user.authenticated.v1");
    assert_eq!(shown.reason, "4 tries failed: database is down");
    assert_eq!(shown.body, body());
    assert!(shown.parked_at.ends_with('Z'));
    assert!(
        parked::show(&at, QUEUE, EventId::generate())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(parked::list(&at, QUEUE, 1).await.unwrap().len(), 1);

    let working = Script::failing(0);
    let script = consumer(&broker, working.clone());
    let running = Running::start(move |stop| script.run(stop));
    let one = Which::Event(ids[0]);
    assert_eq!(parked::redrive(&at, QUEUE, one).await.unwrap(), 1);
    eventually("one is handled", async || working.seen() == [(ids[0], 0)]).await;
    assert_eq!(parked::redrive(&at, QUEUE, Which::All).await.unwrap(), 1);
    eventually("the other too", async || working.seen().len() == 2).await;
    assert!(parked::list(&at, QUEUE, 10).await.unwrap().is_empty());
    running.stop().await;
}
