//! When the relay reads the outbox.

use std::time::Duration;

use latchkey_messaging::outbox::OutboxWaker;
use latchkey_testkit::{TestBroker, TestDatabase};

use crate::support::{Collector, Running, commit_events, eventually, outbox_rows, relay, relay_of};

const CONNECTED: &str = "account.connected.v1";

/// Starts a relay that reads the outbox only when it is woken.
fn relay_without_poll(database: &TestDatabase, broker: &TestBroker) -> (OutboxWaker, Running) {
    let waker = OutboxWaker::default();
    let relay = relay_of(database, broker.url())
        .woken_by(waker.clone())
        .with_poll_interval(Duration::MAX);
    (waker, Running::start(move |stop| relay.run(stop)))
}

// R12: an event is published at once, and not when the outbox is read the next time.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_this_process_is_published_without_waiting_for_the_poll() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let (waker, relay) = relay_without_poll(&database, &broker);
    for _ in 0..6 {
        let ids = commit_events(&database, 1).await;
        waker.wake();
        eventually("it arrives", async || collector.has_all(&ids)).await;
        eventually("its row goes", async || outbox_rows(&database).await == 0).await;
    }
    relay.stop().await;
}

// R12: nothing is missed while the relay publishes or is not connected.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_woken_while_it_publishes_reads_the_outbox_again() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let (waker, relay) = relay_without_poll(&database, &broker);
    let mut ids = Vec::new();
    // Some of these commits are between a claim of the relay and its wait.
    for _ in 0..200 {
        ids.extend(commit_events(&database, 1).await);
        waker.wake();
    }
    eventually("all arrive", async || collector.has_all(&ids)).await;
    eventually("the rows go", async || outbox_rows(&database).await == 0).await;
    assert!(collector.seen().values().all(|times| *times == 1));
    relay.stop().await;
}

// R12: a command of an operator, or a replica that has lost the broker, wakes no relay.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_another_process_is_published_within_the_poll() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, CONNECTED).await;
    let relay = relay(&database, broker.url());
    for _ in 0..3 {
        let ids = commit_events(&database, 1).await;
        eventually("it arrives", async || collector.has_all(&ids)).await;
    }
    relay.stop().await;
}
