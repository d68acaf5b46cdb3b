use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use latchkey_domain::EventId;
use latchkey_messaging::outbox::{Message, Relay, Schema, enqueue};
use latchkey_messaging::parked::{self, Filter, OperatorQueue, Selection};
use latchkey_messaging::topology::{
    self, EVENTS_EXCHANGE, MESSAGING_JOBS_QUEUE, RECENT_QUEUE, SYNC_SVC_QUEUE, UNROUTED_QUEUE,
};
use latchkey_proto::events::AccountConnected;
use latchkey_service::health::Check as _;
use latchkey_testkit::{TestBroker, TestDatabase};

use crate::consumer::{Script, consumer};
use crate::proxy::{LONGER_THAN_A_CONFIRM, Proxy, Way};
use crate::support::{
    Collector, Running, body, commit_events, commit_status_changes, config, eventually,
    outbox_rows, properties, publish, reject_all, relay, unbind,
};

const CONNECTED: &str = "account.connected.v1";
const STATUS: &str = "channel.status_changed.v1";

/// `host:port` of an AMQP URL, and the URL with another address.
fn split(url: &str) -> (String, impl Fn(std::net::SocketAddr) -> String) {
    let (before, rest) = url.rsplit_once('@').unwrap();
    let (address, vhost) = rest.split_once('/').unwrap();
    let (before, vhost) = (before.to_owned(), vhost.to_owned());
    (address.to_owned(), move |address| {
        format!("{before}@{address}/{vhost}")
    })
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn a_committed_event_is_published_with_its_attributes_and_leaves_the_outbox() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let relay = relay(&database, broker.url());
    let ids = commit_events(&database, 1).await;

    eventually("the event arrives", async || collector.has_all(&ids)).await;
    eventually("the row goes", async || outbox_rows(&database).await == 0).await;
    let header = |name: &str| collector.header(name).unwrap();
    assert_eq!(header("cloudEvents:id"), ids[0].to_string());
    assert_eq!(header("cloudEvents:type"), CONNECTED);
    assert_eq!(header("cloudEvents:source"), "/latchkey/test");
    assert_eq!(header("cloudEvents:subject"), "0");
    assert_eq!(header("cloudEvents:specversion"), "1.0");
    assert!(header("cloudEvents:time").ends_with('Z'));
    relay.stop().await;
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_rolled_back_is_never_published() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let relay = relay(&database, broker.url());
    let mut transaction = database.pool().begin().await.unwrap();
    let lost = EventId::generate();
    let message = Message::event(lost, "x", &AccountConnected::default());
    enqueue(&mut transaction, Schema::Sync, message)
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    let ids = commit_events(&database, 3).await;

    eventually("the others arrive", async || collector.has_all(&ids)).await;
    assert!(!collector.has_all(&[lost]));
    relay.stop().await;
}

/// Declares queues as sync-svc does, without consumers.
async fn declare(broker: &TestBroker) -> lapin::Connection {
    let connection = config(broker.url()).connect().await.unwrap();
    assert_eq!(topology::declare(&connection).await.unwrap(), []);
    connection
}

// R26
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_is_bound_for_is_kept() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let connection = declare(&broker).await;
    unbind(&connection, RECENT_QUEUE, CONNECTED).await;
    let relay = relay(&database, broker.url());
    commit_events(&database, 5).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
    let kept = broker.take(UNROUTED_QUEUE, 10).await.unwrap();
    assert_eq!(kept.len(), 5);
}

// R26: a message among the unrouted ones is an alarm.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_needs_no_consumer_is_not_unrouted() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    declare(&broker).await;
    let relay = relay(&database, broker.url());
    commit_events(&database, 5).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
    assert!(broker.take(UNROUTED_QUEUE, 10).await.unwrap().is_empty());
    assert_eq!(broker.take(RECENT_QUEUE, 10).await.unwrap().len(), 5);
}

// R12: sync-svc was never started, and nobody else keeps what it will consume.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_has_no_queue_at_all_waits_in_the_outbox() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let relay = relay(&database, broker.url());
    let ids = commit_events(&database, 3).await;
    let queues = broker.queues().await.unwrap();
    assert!(queues.is_empty(), "a relay declares none: {queues:?}");
    let collector = Collector::bind(&broker, CONNECTED).await;
    eventually("all arrive", async || collector.has_all(&ids)).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
}

// R12: somebody set other limits, of a queue or an exchange.
#[tokio::test(flavor = "multi_thread")]
async fn other_arguments_of_queues_and_exchanges_are_reported_and_stop_no_event() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let connection = config(broker.url()).connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut classic = FieldTable::default();
    classic.insert("x-max-length".into(), AMQPValue::LongLongInt(5));
    for queue in [UNROUTED_QUEUE, SYNC_SVC_QUEUE, MESSAGING_JOBS_QUEUE] {
        channel
            .queue_declare(
                queue.into(),
                QueueDeclareOptions::durable(),
                classic.clone(),
            )
            .await
            .unwrap();
    }
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    // Without the alternate exchange.
    channel
        .exchange_declare(
            EVENTS_EXCHANGE.into(),
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        )
        .await
        .unwrap();

    let collector = Collector::bind(&broker, CONNECTED).await;
    let outgoing = Relay::new(
        database.pool().clone(),
        Schema::Sync,
        config(broker.url()),
        "/latchkey/test",
    );
    let told = outgoing.refused_declarations();
    let relay = Running::start(move |stop| outgoing.run(stop));
    let ids = commit_events(&database, 10).await;
    eventually("all arrive", async || collector.has_all(&ids)).await;
    let told = told.check().await.unwrap_err();
    assert!(
        told.contains("exchange latchkey.events") && told.contains("alternate-exchange"),
        "{told}"
    );
    relay.stop().await;

    let refused = topology::declare(&connection).await.unwrap();
    let told: Vec<&str> = refused
        .iter()
        .map(|refused| refused.what.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "exchange latchkey.events",
            "queue latchkey.unrouted",
            "queue latchkey.jobs.messaging",
            "queue sync-svc.events"
        ]
    );
    assert!(
        refused
            .iter()
            .all(|refused| refused.reason.contains("PRECONDITION_FAILED"))
    );
    // And the consumer uses its queue as it is.
    let script = Script::failing(0);
    let consumer = consumer(&broker, script.clone());
    let told = consumer.refused_declarations();
    let running = Running::start(move |stop| consumer.run(stop));
    let id = EventId::generate();
    publish(
        &broker,
        SYNC_SVC_QUEUE,
        properties(id, "user.authenticated.v1"),
        &body(),
    )
    .await;
    eventually("it is handled", async || script.seen().len() == 1).await;
    assert!(told.check().await.is_err());
    running.stop().await;
}

// R12: the broker refuses every message for one queue.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_never_confirmed_do_not_slow_the_others() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let connection = declare(&broker).await;
    let collector = Collector::bind(&broker, CONNECTED).await;
    let channel = reject_all(&connection, "full", STATUS).await;
    // More of them than the relay publishes at once, and they are the oldest.
    commit_status_changes(&database, 300).await;
    let relay = relay(&database, broker.url());
    for _ in 0..5 {
        let ids = commit_events(&database, 100).await;
        eventually("the others arrive", async || collector.has_all(&ids)).await;
    }
    assert!(collector.seen().values().all(|times| *times == 1));
    eventually("only the refused are left", async || {
        outbox_rows(&database).await == 300
    })
    .await;

    // There is room again: they are published too, without any action.
    channel
        .queue_delete("full".into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
}

// R12: what RabbitMQ answers by closing the channel.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_ends_the_connection_does_not_stop_the_others() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    // Names that are too long for AMQP, and an exchange that does not exist.
    sqlx::query(
        "INSERT INTO sync.outbox (event_id, exchange, routing_key, event_type, subject, payload)
         VALUES (gen_random_uuid(), 'latchkey.events', repeat('k', 300), 't', 's', '')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    sqlx::raw_sql(
        "ALTER TABLE sync.outbox DROP CONSTRAINT outbox_exchange_check;
         INSERT INTO sync.outbox (event_id, exchange, routing_key, event_type, subject, payload)
         VALUES (gen_random_uuid(), 'nowhere', 'k', 't', 's', '')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let relay = relay(&database, broker.url());
    for _ in 0..3 {
        let ids = commit_events(&database, 100).await;
        eventually("the others arrive", async || collector.has_all(&ids)).await;
    }
    eventually("they leave the outbox", async || {
        outbox_rows(&database).await == 2
    })
    .await;
    relay.stop().await;
}

// R26
#[tokio::test(flavor = "multi_thread")]
async fn an_unrouted_event_goes_to_the_queue_that_is_bound_later() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let at = config(broker.url());
    let connection = declare(&broker).await;
    unbind(&connection, RECENT_QUEUE, CONNECTED).await;
    let relay = relay(&database, broker.url());
    let ids = commit_events(&database, 3).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
    let again = async |filter| {
        parked::redrive(&at, OperatorQueue::Unrouted, filter)
            .await
            .unwrap()
    };

    assert_eq!(again(Filter::All).await, 3, "nobody is bound yet");
    let waiting = parked::list(&at, OperatorQueue::Unrouted, 10)
        .await
        .unwrap();
    assert_eq!(waiting.len(), 3, "so they come back");
    assert_eq!(
        waiting[0].reason,
        format!("no queue was bound for {CONNECTED}")
    );

    // Filtered by routing key, with an offset and a limit.
    let page = Selection {
        skip: 1,
        limit: Some(1),
        ..Selection::from(Filter::Keys(vec![CONNECTED.to_owned()]))
    };
    let listed = parked::list(&at, OperatorQueue::Unrouted, page.clone())
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].event_id, waiting[1].event_id);
    let others = Filter::Keys(vec![STATUS.to_owned()]);
    assert_eq!(again(others).await, 0);
    let counts = parked::count(&at, OperatorQueue::Unrouted).await.unwrap();
    assert_eq!(
        counts.into_iter().collect::<Vec<_>>(),
        [(CONNECTED.to_owned(), 3)]
    );

    let collector = Collector::bind(&broker, CONNECTED).await;
    // A declaration binds it again.
    unbind(&connection, RECENT_QUEUE, CONNECTED).await;
    assert_eq!(again(Filter::Event(ids[0])).await, 1);
    eventually("one arrives", async || collector.has_all(&ids[..1])).await;
    assert_eq!(again(Filter::All).await, 2);
    eventually("all arrive", async || collector.has_all(&ids)).await;
    let waiting = parked::list(&at, OperatorQueue::Unrouted, 10)
        .await
        .unwrap();
    assert!(waiting.is_empty());
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn two_relays_at_once_publish_each_event_once() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let (one, other) = (
        relay(&database, broker.url()),
        relay(&database, broker.url()),
    );
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.extend(commit_events(&database, 50).await);
    }
    eventually("all arrive", async || collector.has_all(&ids)).await;
    one.stop().await;
    other.stop().await;
    let seen = collector.seen();
    assert_eq!(seen.len(), 1_000);
    assert!(seen.values().all(|times| *times == 1));
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn events_wait_while_the_broker_is_down_and_arrive_when_it_is_up() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let (target, through) = split(broker.url());
    let proxy = Proxy::start(target, Way::Closed).await;
    let relay = relay(&database, &through(proxy.address()));
    let ids = commit_events(&database, 10).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(outbox_rows(&database).await, 10);

    proxy.set(Way::Open);
    eventually("all arrive", async || collector.has_all(&ids)).await;
    assert!(collector.seen().values().all(|times| *times == 1));
    relay.stop().await;
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_in_mid_flight_lose_nothing() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let (target, through) = split(broker.url());
    let proxy = Proxy::start(target, Way::Open).await;
    let relay = relay(&database, &through(proxy.address()));
    let mut ids = Vec::new();
    for round in 0..30 {
        ids.extend(commit_events(&database, 100).await);
        if round % 5 == 2 {
            proxy.set(Way::Closed);
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            proxy.set(Way::Open);
        }
    }
    eventually("all arrive", async || collector.has_all(&ids)).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    // Unconfirmed messages are published again: at most the batches in flight at each cut.
    let repeated: usize = collector.seen().values().map(|times| times - 1).sum();
    assert!(repeated <= 6 * 4 * 128, "{repeated} repeated");
    relay.stop().await;
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_delays_events_and_loses_none() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let (target, through) = split(broker.url());
    let proxy = Proxy::start(target, Way::Open).await;
    let relay = relay(&database, &through(proxy.address()));
    let mut ids = commit_events(&database, 1).await;
    eventually("the relay runs", async || collector.has_all(&ids)).await;
    // The confirm of the event comes later than the event itself.
    eventually("its row goes", async || outbox_rows(&database).await == 0).await;

    proxy.set(Way::Hanging);
    ids.extend(commit_events(&database, 10).await);
    tokio::time::sleep(LONGER_THAN_A_CONFIRM).await;
    assert_eq!(outbox_rows(&database).await, 10);
    proxy.set(Way::Open);
    eventually("all arrive", async || collector.has_all(&ids)).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn connections_closed_by_the_broker_lose_nothing() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let before = Collector::bind(&broker, CONNECTED).await;
    let relay = relay(&database, broker.url());
    let mut ids = commit_events(&database, 10).await;
    eventually("the first arrive", async || before.has_all(&ids)).await;

    assert!(broker.close_connections().await.unwrap() > 0);
    ids.extend(commit_events(&database, 500).await);
    let after = Collector::resume(&broker).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    eventually("all arrive", async || {
        let (before, after) = (before.seen(), after.seen());
        ids.iter()
            .map(ToString::to_string)
            .all(|id| before.contains_key(&id) || after.contains_key(&id))
    })
    .await;
    relay.stop().await;
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn the_relay_survives_a_restart_of_the_database() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let relay = relay(&database, broker.url());
    let mut ids = commit_events(&database, 10).await;
    eventually("the first arrive", async || collector.has_all(&ids)).await;

    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(database.pool())
    .await
    .unwrap();
    ids.extend(commit_events(&database, 10).await);
    eventually("the others arrive", async || collector.has_all(&ids)).await;
    relay.stop().await;
}
