use latchkey_domain::EventId;
use latchkey_messaging::outbox::{Message, Schema, enqueue};
use latchkey_messaging::parked::{self, Shelf, Which};
use latchkey_messaging::topology::UNROUTED_QUEUE;
use latchkey_proto::events::AccountConnected;
use latchkey_testkit::{TestBroker, TestDatabase};

use crate::proxy::{LONGER_THAN_A_CONFIRM, Proxy, Way};
use crate::support::{Collector, commit_events, config, eventually, outbox_rows, relay};

const CONNECTED: &str = "account.connected.v1";

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

// R26
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_is_bound_for_is_kept() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let relay = relay(&database, broker.url());
    commit_events(&database, 5).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
    let kept = broker.take(UNROUTED_QUEUE, 10).await.unwrap();
    assert_eq!(kept.len(), 5);
}

// R26
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_was_bound_for_goes_to_who_is_bound_later() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let at = config(broker.url());
    let relay = relay(&database, broker.url());
    let ids = commit_events(&database, 3).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
    let again = async |which| parked::redrive(&at, Shelf::Unrouted, which).await.unwrap();

    assert_eq!(again(Which::All).await, 3, "nobody is bound yet");
    let waiting = parked::list(&at, Shelf::Unrouted, 10).await.unwrap();
    assert_eq!(waiting.len(), 3, "so they come back");
    assert_eq!(
        waiting[0].reason,
        format!("no queue was bound for {CONNECTED}")
    );

    let collector = Collector::bind(&broker, CONNECTED).await;
    assert_eq!(again(Which::Event(ids[0])).await, 1);
    eventually("one arrives", async || collector.has_all(&ids[..1])).await;
    assert_eq!(again(Which::All).await, 2);
    eventually("all arrive", async || collector.has_all(&ids)).await;
    let waiting = parked::list(&at, Shelf::Unrouted, 10).await.unwrap();
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
    // What was sent and not confirmed is sent again: at most a batch per cut.
    let repeated: usize = collector.seen().values().map(|times| times - 1).sum();
    assert!(repeated <= 6 * 128, "{repeated} repeated");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_wakes_the_relay_before_it_would_poll() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let relay = relay(&database, broker.url());
    let first = commit_events(&database, 1).await;
    eventually("the relay runs", async || collector.has_all(&first)).await;
    let mut slowest = std::time::Duration::ZERO;
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        let ids = commit_events(&database, 1).await;
        eventually("it arrives", async || collector.has_all(&ids)).await;
        slowest = slowest.max(begun.elapsed());
    }
    assert!(
        slowest < std::time::Duration::from_millis(1_500),
        "{slowest:?}"
    );
    relay.stop().await;
}
