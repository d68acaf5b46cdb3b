use lapin::options::{BasicGetOptions, BasicRejectOptions};
use latchkey_domain::EventId;
use latchkey_messaging::parked::{self, Filter};
use latchkey_messaging::topology::{self, SYNC_SVC_QUEUE as QUEUE};
use latchkey_testkit::TestBroker;

use crate::consumer::{Script, consumer, start};
use crate::support::{Running, body, config, eventually, properties, publish};

#[tokio::test(flavor = "multi_thread")]
async fn parked_messages_are_listed_shown_and_redriven() {
    let broker = TestBroker::create().await;
    let at = config(broker.url());
    let running = start(&broker, &Script::failing(usize::MAX)).await;
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
    // Messages that were read are in the queue again for the next reader.
    for _ in 0..20 {
        assert_eq!(parked::list(&at, QUEUE, 1).await.unwrap().len(), 1);
    }

    let working = Script::failing(0);
    let script = consumer(&broker, working.clone());
    let running = Running::start(move |stop| script.run(stop));
    let one = Filter::Event(ids[0]);
    assert_eq!(parked::redrive(&at, QUEUE, one).await.unwrap(), 1);
    eventually("one is handled", async || working.seen() == [(ids[0], 0)]).await;
    assert_eq!(parked::redrive(&at, QUEUE, Filter::All).await.unwrap(), 1);
    eventually("the other too", async || working.seen().len() == 2).await;
    assert!(parked::list(&at, QUEUE, 10).await.unwrap().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_every_process_that_takes_it_is_parked_by_the_broker() {
    let broker = TestBroker::create().await;
    let at = config(broker.url());
    let connection = at.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    topology::declare(&connection).await.unwrap();
    let id = EventId::generate();
    publish(
        &broker,
        QUEUE,
        properties(id, "user.authenticated.v1"),
        &body(),
    )
    .await;
    let mut deliveries = 0;
    eventually("it is parked", async || {
        let got = channel
            .basic_get(QUEUE.into(), BasicGetOptions::default())
            .await
            .unwrap();
        if let Some(message) = got {
            deliveries += 1;
            let again = BasicRejectOptions { requeue: true };
            message.delivery.acker.reject(again).await.unwrap();
        }
        parked::list(&at, QUEUE, 1).await.unwrap().len() == 1
    })
    .await;
    assert_eq!(deliveries, 21);
    let parked = parked::list(&at, QUEUE, 1).await.unwrap();
    assert_eq!(parked[0].event_id, Some(id));
    assert_eq!(parked[0].reason, "parked by the broker: delivery_limit");

    // A redriven message has no failed attempts.
    assert_eq!(parked::redrive(&at, QUEUE, Filter::All).await.unwrap(), 1);
    let script = Script::failing(0);
    let consumer = consumer(&broker, script.clone());
    let running = Running::start(move |stop| consumer.run(stop));
    eventually("it is handled", async || script.seen() == [(id, 0)]).await;
    running.stop().await;
}
