//! `latchkey.unrouted` is empty in normal operation, receives events when a binding is
//! lost, and is emptied by the service or by one command (R12, R26).

use latchkey_domain::EventId;
use latchkey_messaging::topology::{RECENT_QUEUE, SYNC_SVC_QUEUE, UNROUTED_QUEUE};
use latchkey_testkit::eventually;

use crate::support::operator::latchkey;
use crate::support::person::{Person, applied, count, published};
use crate::support::service::TestService;

const AUTHENTICATED: &str = "user.authenticated.v1";
const CONNECTED: &str = "account.connected.v1";
const STATUS: &str = "channel.status_changed.v1";

/// Number of sign-ins: 150, or `LATCHKEY_TEST_SIGN_INS` for a long run.
fn sign_ins() -> usize {
    let asked = std::env::var("LATCHKEY_TEST_SIGN_INS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(150)
}

// R12, R26
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_unrouted_after_many_sign_ins_that_nobody_else_consumes() {
    let service = TestService::start().await;
    // Only sync-svc consumes, as in a default deployment.
    for key in [CONNECTED, STATUS] {
        service.unbind("observer", key).await;
    }
    let many = sign_ins();
    let mut last = EventId::generate();
    for _ in 0..many {
        last = EventId::generate();
        service.publish(last, &Person::new().sign_in(0)).await;
    }
    let limit = std::time::Duration::from_millis(500) * u32::try_from(many).unwrap();
    let all = async {
        let accounts = "SELECT count(*) FROM sync.connected_account";
        while count(&service, accounts).await < i64::try_from(many).unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(limit, all)
        .await
        .expect("all are applied");
    applied(&service, last).await;
    published(&service).await;
    assert_eq!(service.waiting(UNROUTED_QUEUE).await, 0);
    // Each published a connection and two channels; the newest events are kept.
    let reported = u32::try_from(many * 3).unwrap().min(10_000);
    eventually("they are among the recent ones", async || {
        service.waiting(RECENT_QUEUE).await == reported
    })
    .await;
}

// R12: the command restores the binding and publishes the missed events again.
#[tokio::test(flavor = "multi_thread")]
async fn one_command_repairs_a_lost_binding() {
    // The service does not do it during this test.
    let service = TestService::start_with(1, &[("QUEUES_CHECKED_EVERY", "1d")]).await;
    // Everything is declared: a binding that is lost from now on is not declared again.
    let first = Person::new();
    first.applies(&service, first.sign_in(0)).await;
    published(&service).await;
    eventually("it was looked at", async || {
        let metrics = service.health("/metrics").await.1;
        let mut lines = metrics.lines();
        lines.any(|line| {
            let rounds = line.strip_prefix("latchkey_queue_checks_total ");
            rounds.is_some_and(|rounds| rounds != "0")
        })
    })
    .await;

    service.unbind(SYNC_SVC_QUEUE, AUTHENTICATED).await;
    let person = Person::new();
    let id = EventId::generate();
    service.publish(id, &person.sign_in(0)).await;
    let redrive = ["unrouted", "redrive", "--routing-key"];
    let count = ["unrouted", "count"];
    let counted = latchkey(&service, &count, None).await;
    assert_eq!(
        counted.out,
        format!("latchkey.unrouted\t{AUTHENTICATED}\t1\n"),
        "{counted:?}"
    );
    let none = latchkey(&service, &[&redrive[..], &[CONNECTED]].concat(), None).await;
    assert_eq!(
        none.out, "latchkey.unrouted: 0 published again\n",
        "{none:?}"
    );
    let one = latchkey(&service, &[&redrive[..], &[AUTHENTICATED]].concat(), None).await;
    assert_eq!(one.out, "latchkey.unrouted: 1 published again\n", "{one:?}");
    applied(&service, id).await;
    let counted = latchkey(&service, &count, None).await;
    assert_eq!(counted.out, "nothing waits\n", "{counted:?}");
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn lost_bindings_are_restored_by_the_service_with_the_events_they_missed() {
    let service = TestService::start_with(1, &[("QUEUES_CHECKED_EVERY", "500ms")]).await;
    let first = Person::new();
    first.applies(&service, first.sign_in(0)).await;
    published(&service).await;
    for (queue, key) in [
        (SYNC_SVC_QUEUE, AUTHENTICATED),
        (RECENT_QUEUE, CONNECTED),
        (RECENT_QUEUE, STATUS),
    ] {
        service.unbind(queue, key).await;
    }
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = EventId::generate();
        service.publish(id, &Person::new().sign_in(0)).await;
        ids.push(id);
    }
    for id in ids {
        applied(&service, id).await;
    }
    published(&service).await;
    eventually("nothing is unrouted", async || {
        service.waiting(UNROUTED_QUEUE).await == 0
    })
    .await;
}
