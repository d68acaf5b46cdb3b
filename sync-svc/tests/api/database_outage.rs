//! The database does not answer for a while: consuming pauses, and the events that
//! arrived meanwhile are applied when the database answers again (R12).

use latchkey_domain::EventId;
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::parked;
use latchkey_messaging::topology::SYNC_SVC_QUEUE;
use latchkey_testkit::eventually;

use crate::support::person::{Person, applied};
use crate::support::service::TestService;

/// Forbids connections to the database and ends those of the service, or allows them
/// again.
async fn set_database_away(service: &TestService, away: bool) {
    let limit = if away { 0 } else { -1 };
    let change = format!("CONNECTION LIMIT {limit}");
    service.database.alter(&change).await;
    if !away {
        // Ending a connection that works again would be another failure.
        return;
    }
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename <> current_user",
    )
    .execute(service.database.pool())
    .await
    .unwrap();
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_no_attempt_is_counted_and_everything_is_applied_after_it() {
    // A counted attempt would be retried after one day: the test would fail.
    let mut service = TestService::start_with(0, &[]).await;
    service.start_replica(&[("RETRY_DELAYS", "1d")]);
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;

    set_database_away(&service, true).await;
    let mut ids = Vec::new();
    let people: Vec<Person> = (0..10).map(|_| Person::new()).collect();
    for person in &people {
        let id = EventId::generate();
        service.publish(id, &person.sign_in(0)).await;
        ids.push(id);
    }
    eventually("consuming pauses", async || {
        service.consumers(SYNC_SVC_QUEUE).await == 0 && service.waiting(SYNC_SVC_QUEUE).await == 10
    })
    .await;
    set_database_away(&service, false).await;
    for id in ids {
        applied(&service, id).await;
    }
    for person in &people {
        assert_eq!(person.account(&service).await.version, 1);
    }
    let broker = BrokerConfig::parse(service.broker.url(), "test").unwrap();
    let parked = parked::list(&broker, SYNC_SVC_QUEUE, 10).await;
    assert!(parked.unwrap().is_empty());
}
