//! The queues of the previous version, which consumed one for each type of event, are emptied into
//! the one queue of sync-svc and deleted (R12).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection};
use latchkey_domain::EventId;
use latchkey_messaging::parked;
use latchkey_messaging::topology::{self, RetrySchedule, SYNC_SVC_QUEUE};
use latchkey_testkit::TestBroker;

use crate::support::{
    bind, body, config, eventually, maintenance, properties, publish, publish_event,
};

const AUTHENTICATED_QUEUE: &str = "sync-svc.user-authenticated";
const AUTHENTICATED: &str = "user.authenticated.v1";
const REMOVED_QUEUE: &str = "sync-svc.member-removed";
const REMOVED: &str = "member.removed.v1";
const RETIRED: [(&str, &str); 4] = [
    (AUTHENTICATED_QUEUE, AUTHENTICATED),
    (REMOVED_QUEUE, REMOVED),
    (
        "sync-svc.account-reauth-required",
        "account.reauth_required.v1",
    ),
    ("sync-svc.account-disconnected", "account.disconnected.v1"),
];

fn retry_schedule() -> RetrySchedule {
    RetrySchedule::new(vec![Duration::from_hours(1)], 4)
}

fn retry_queue(queue: &str) -> String {
    format!("{queue}.retry.3600s")
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Declares and binds a queue with its parking queue and a retry queue as the previous version
/// does.
async fn declare_as_before(connection: &Connection, queue: &str, routing_key: &str) {
    topology::declare_exchanges(connection).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let parked = format!("{queue}.parked");
    let dead_letters_to = |queue: &str| {
        vec![
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(queue)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]
    };
    let mut own = dead_letters_to(&parked);
    own.push(("x-delivery-limit", AMQPValue::LongLongInt(20)));
    let mut retry = dead_letters_to(queue);
    retry.push(("x-message-ttl", AMQPValue::LongLongInt(3_600_000)));
    for (name, arguments) in [
        (parked, Vec::new()),
        (queue.to_owned(), own),
        (retry_queue(queue), retry),
    ] {
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), text("quorum"));
        for (key, value) in arguments {
            table.insert(key.into(), value);
        }
        channel
            .queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), table)
            .await
            .unwrap();
    }
    bind(&channel, queue, routing_key).await;
}

/// The queues of the previous version that exist.
async fn retired_queues(broker: &TestBroker) -> Vec<String> {
    let names = broker.queues().await.unwrap().into_iter();
    names
        .map(|queue| queue.name)
        .filter(|name| RETIRED.iter().any(|(queue, _)| name.starts_with(queue)))
        .collect()
}

/// Takes the messages of the queue of sync-svc.
async fn take(connection: &Connection) -> Vec<Delivery> {
    let channel = connection.create_channel().await.unwrap();
    let no_ack = BasicGetOptions { no_ack: true };
    let mut taken = Vec::new();
    while let Some(message) = channel
        .basic_get(SYNC_SVC_QUEUE.into(), no_ack)
        .await
        .unwrap()
    {
        taken.push(message.delivery);
    }
    taken
}

async fn next(deliveries: &mut lapin::Consumer) -> Delivery {
    tokio::time::timeout(Duration::from_secs(30), deliveries.next())
        .await
        .expect("nothing is delivered")
        .unwrap()
        .unwrap()
}

/// Properties with further headers.
fn with_headers(id: EventId, event_type: &str, more: &[(&str, AMQPValue)]) -> BasicProperties {
    let properties = properties(id, event_type);
    let mut headers = properties.headers().clone().unwrap();
    for (name, value) in more {
        headers.insert((*name).into(), value.clone());
    }
    properties.with_headers(headers)
}

fn header(delivery: &Delivery, name: &str) -> Option<AMQPValue> {
    let headers = delivery.properties.headers().as_ref()?;
    headers.inner().get(name).cloned()
}

/// Failed attempts, in any of the types that a broker may return.
fn attempts_of(delivery: &Delivery) -> Option<i64> {
    match header(delivery, "latchkey-attempts")? {
        AMQPValue::LongUInt(attempts) => Some(attempts.into()),
        AMQPValue::LongInt(attempts) => Some(attempts.into()),
        AMQPValue::LongLongInt(attempts) => Some(attempts),
        _ => None,
    }
}

fn id_of(delivery: &Delivery) -> String {
    header(delivery, "cloudEvents:id")
        .and_then(|id| id.as_long_string().map(ToString::to_string))
        .unwrap()
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_retired_queue_arrives_once_in_the_queue_of_sync_svc() {
    let broker = TestBroker::create().await;
    let connection = config(broker.url()).connect().await.unwrap();
    let mut attempts = HashMap::new();
    let mut parked_ids = HashSet::new();
    for (queue, event_type) in RETIRED {
        declare_as_before(&connection, queue, event_type).await;
        let [ready, retried, parked] = [(); 3].map(|()| EventId::generate());
        publish_event(&connection, event_type, ready).await;
        attempts.insert(ready.to_string(), None);
        let headers = [("latchkey-attempts", AMQPValue::LongUInt(2))];
        let properties = with_headers(retried, event_type, &headers);
        publish(&broker, &retry_queue(queue), properties, &body()).await;
        attempts.insert(retried.to_string(), Some(2));
        let headers = [
            ("latchkey-attempts", AMQPValue::LongUInt(3)),
            ("latchkey-parked-reason", text("is malformed")),
            ("latchkey-parked-at", text("2026-01-02T03:04:05Z")),
        ];
        let properties = with_headers(parked, event_type, &headers);
        publish(&broker, &format!("{queue}.parked"), properties, b"x").await;
        parked_ids.insert(parked);
    }

    let maintenance = maintenance(&broker, retry_schedule());
    eventually("the retired queues are deleted", async || {
        retired_queues(&broker).await.is_empty()
    })
    .await;
    maintenance.stop().await;

    let taken = take(&connection).await;
    assert_eq!(taken.len(), attempts.len());
    let found: HashMap<_, _> = taken
        .iter()
        .map(|message| (id_of(message), attempts_of(message)))
        .collect();
    assert_eq!(found, attempts);
    assert!(taken.iter().all(|message| message.data == body()));
    let listed = parked::list(&config(broker.url()), SYNC_SVC_QUEUE, 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), parked_ids.len());
    for message in listed {
        assert!(parked_ids.contains(&message.event_id.unwrap()));
        assert_eq!(message.reason, "is malformed");
        assert_eq!(message.parked_at, "2026-01-02T03:04:05Z");
        assert_eq!((message.attempts, message.body), (3, b"x".to_vec()));
    }
}

// R12: the versions run side by side during a roll-out.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_the_previous_version_consumes_is_retired_after_its_consumer_is_gone() {
    let broker = TestBroker::create().await;
    let connection = config(broker.url()).connect().await.unwrap();
    declare_as_before(&connection, AUTHENTICATED_QUEUE, AUTHENTICATED).await;
    declare_as_before(&connection, REMOVED_QUEUE, REMOVED).await;
    let previous = config(broker.url()).connect().await.unwrap();
    let channel = previous.create_channel().await.unwrap();
    let mut deliveries = channel
        .basic_consume(
            AUTHENTICATED_QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();

    let maintenance = maintenance(&broker, retry_schedule());
    eventually("only the other queue is retired", async || {
        let left = retired_queues(&broker).await;
        left.len() == 3
            && left
                .iter()
                .all(|name| name.starts_with(AUTHENTICATED_QUEUE))
    })
    .await;
    // The previous version declares and binds its queue periodically: both get the event.
    declare_as_before(&connection, AUTHENTICATED_QUEUE, AUTHENTICATED).await;
    let both = EventId::generate();
    publish_event(&connection, AUTHENTICATED, both).await;
    let delivered = next(&mut deliveries).await;
    assert_eq!(id_of(&delivered), both.to_string());
    delivered.ack(BasicAckOptions::default()).await.unwrap();
    // This one is in no other queue, and the consumer does not acknowledge it.
    let alone = EventId::generate();
    let properties = properties(alone, AUTHENTICATED);
    publish(&broker, AUTHENTICATED_QUEUE, properties, &body()).await;
    assert_eq!(id_of(&next(&mut deliveries).await), alone.to_string());

    previous.close(200, "done".into()).await.unwrap();
    eventually("this queue is retired too", async || {
        retired_queues(&broker).await.is_empty()
    })
    .await;
    maintenance.stop().await;
    let taken = take(&connection).await;
    let taken: Vec<String> = taken.iter().map(id_of).collect();
    assert_eq!(taken, [both.to_string(), alone.to_string()]);
}

// R12: from before the new queue is bound until after the old one is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_published_while_a_queue_is_retired_is_not_lost() {
    let broker = TestBroker::create().await;
    let connection = config(broker.url()).connect().await.unwrap();
    declare_as_before(&connection, AUTHENTICATED_QUEUE, AUTHENTICATED).await;
    let mut published = HashSet::new();
    for _ in 0..20 {
        let id = EventId::generate();
        publish_event(&connection, AUTHENTICATED, id).await;
        published.insert(id.to_string());
    }
    let maintenance = maintenance(&broker, retry_schedule());
    eventually("the queue is deleted", async || {
        let id = EventId::generate();
        publish_event(&connection, AUTHENTICATED, id).await;
        published.insert(id.to_string());
        retired_queues(&broker).await.is_empty()
    })
    .await;
    maintenance.stop().await;
    // An event that was in both queues arrives twice.
    let taken: HashSet<String> = take(&connection).await.iter().map(id_of).collect();
    assert_eq!(taken, published);
}
