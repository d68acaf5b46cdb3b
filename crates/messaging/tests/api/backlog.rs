//! Many messages at once: several batches of one relay overlap.

use lapin::options::QueueDeleteOptions;
use latchkey_messaging::topology;
use latchkey_testkit::{PATIENCE, TestBroker, TestDatabase};
use tokio::time::Instant;

use crate::support::{
    Collector, commit_events, commit_status_changes, config, eventually, outbox_rows, reject_all,
    relay,
};

const CONNECTED: &str = "account.connected.v1";
const STATUS: &str = "channel.status_changed.v1";

/// Number of transactions that have claimed rows and wait for the broker.
async fn claims_in_flight(database: &TestDatabase) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND state = 'idle in transaction'
           AND query LIKE '%sync.outbox%SKIP LOCKED%'",
    )
    .fetch_one(database.pool())
    .await
    .unwrap()
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_published_in_overlapping_batches_and_each_event_once() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(commit_events(&database, 500).await);
    }
    let relay = relay(&database, broker.url());
    let (begun, mut most) = (Instant::now(), 0);
    while outbox_rows(&database).await > 0 {
        most = most.max(claims_in_flight(&database).await);
        assert!(begun.elapsed() < PATIENCE, "the rows stay");
    }
    assert!(most > 1, "no two batches overlapped");
    eventually("all arrive", async || collector.has_all(&ids)).await;
    relay.stop().await;
    let seen = collector.seen();
    assert_eq!(seen.len(), ids.len());
    assert!(seen.values().all(|times| *times == 1));
}

// R12: every batch of the backlog has messages that the broker rejects.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_held_back_stops_no_batch_of_a_backlog() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let connection = config(broker.url()).connect().await.unwrap();
    topology::declare(&connection).await.unwrap();
    let collector = Collector::bind(&broker, CONNECTED).await;
    let channel = reject_all(&connection, "full", STATUS).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        commit_status_changes(&database, 60).await;
        ids.extend(commit_events(&database, 140).await);
    }
    let relay = relay(&database, broker.url());
    eventually("the others arrive", async || collector.has_all(&ids)).await;
    eventually("only the rejected are left", async || {
        outbox_rows(&database).await == 600
    })
    .await;
    assert!(collector.seen().values().all(|times| *times == 1));

    channel
        .queue_delete("full".into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;
}

// R12, R26: the broker returns messages of one destination while it confirms those of another, many
// of them with one confirm.
#[tokio::test(flavor = "multi_thread")]
async fn a_returned_message_stays_in_the_outbox_and_no_other_one_with_it() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    // There is no queue for what is not routed.
    let collector = Collector::bind_alone(&broker, CONNECTED).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        commit_status_changes(&database, 1).await;
        ids.extend(commit_events(&database, 1).await);
    }
    let relay = relay(&database, broker.url());
    eventually("those with a queue arrive", async || {
        collector.has_all(&ids)
    })
    .await;
    eventually("only the returned are left", async || {
        outbox_rows(&database).await == 40
    })
    .await;
    relay.stop().await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM sync.outbox WHERE routing_key = $1")
        .bind(STATUS)
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(kept, 40);
    assert!(collector.seen().values().all(|times| *times == 1));
}

// R12: the row is found although several batches are in flight when it ends the channel.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_ends_the_connection_is_found_in_the_middle_of_a_backlog() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let mut ids = commit_events(&database, 700).await;
    sqlx::raw_sql(
        "ALTER TABLE sync.outbox DROP CONSTRAINT outbox_exchange_check;
         INSERT INTO sync.outbox (event_id, exchange, routing_key, event_type, subject, payload)
         VALUES (gen_random_uuid(), 'nowhere', 'k', 't', 's', '')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    ids.extend(commit_events(&database, 700).await);
    let relay = relay(&database, broker.url());
    eventually("the others arrive", async || collector.has_all(&ids)).await;
    eventually("they leave the outbox", async || {
        outbox_rows(&database).await == 1
    })
    .await;
    relay.stop().await;
}
