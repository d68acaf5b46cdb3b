//! The queues that sync-svc declares on an empty broker (R12, R26).

use latchkey_testkit::{TestBroker, eventually};

use crate::support::service::TestService;

/// Every queue is a replicated log of the broker: a further one needs a reason.
const QUEUES: [&str; 10] = [
    "latchkey.events.recent",
    "latchkey.jobs.calendar",
    "latchkey.jobs.messaging",
    "latchkey.unrouted",
    "sync-svc.events",
    "sync-svc.events.parked",
    "sync-svc.events.retry.1800s",
    "sync-svc.events.retry.300s",
    "sync-svc.events.retry.30s",
    "sync-svc.events.retry.5s",
];

// R12, R26
#[tokio::test(flavor = "multi_thread")]
async fn the_service_declares_one_queue_for_its_events_with_one_set_of_retry_queues() {
    let mut service = TestService::start_with(0, &[]).await;
    let broker = TestBroker::create().await;
    service.start_replica(&[
        ("AMQP_URL", broker.url()),
        ("RETRY_DELAYS", "5s,30s,5m,30m"),
    ]);
    eventually("these queues exist and no others", async || {
        let queues = broker.queues().await.unwrap().into_iter();
        let mut names: Vec<String> = queues.map(|queue| queue.name).collect();
        names.sort();
        names == QUEUES
    })
    .await;
    service.stop_replicas().await;
}
