//! The database does not answer for a while: consuming pauses, and what arrived
//! meanwhile is applied as soon as it is back (R12).

use latchkey_domain::EventId;
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::parked;
use latchkey_messaging::topology::USER_AUTHENTICATED_QUEUE;

use crate::stack::{Stack, eventually};
use crate::world::{Person, applied};

/// Takes the service's right to connect away, and what it has of connections.
async fn database_goes(stack: &Stack, goes: bool) {
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(stack.database.pool())
        .await
        .unwrap();
    let limit = if goes { 0 } else { -1 };
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "ALTER DATABASE {name} CONNECTION LIMIT {limit}"
    )))
    .execute(stack.database.pool())
    .await
    .unwrap();
    if !goes {
        // Ending a connection that is at work by now would be a failure of its own.
        return;
    }
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename <> current_user",
    )
    .execute(stack.database.pool())
    .await
    .unwrap();
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_no_try_is_counted_and_everything_is_applied_after_it() {
    // One delay of the retry schedule would be a day: what is counted does not come back.
    let mut stack = Stack::start_with(0, &[]).await;
    stack.start_service(&[("RETRY_DELAYS", "1d")]);
    let person = Person::new();
    person.applies(&stack, person.sign_in(0)).await;

    database_goes(&stack, true).await;
    let mut ids = Vec::new();
    let people: Vec<Person> = (0..10).map(|_| Person::new()).collect();
    for person in &people {
        let id = EventId::generate();
        stack.publish(id, &person.sign_in(0)).await;
        ids.push(id);
    }
    eventually("consuming pauses", async || {
        stack.consumers(USER_AUTHENTICATED_QUEUE).await == 0
            && stack.waiting(USER_AUTHENTICATED_QUEUE).await == 10
    })
    .await;
    database_goes(&stack, false).await;
    for id in ids {
        applied(&stack, id).await;
    }
    for person in &people {
        assert_eq!(person.account(&stack).await.version, 1);
    }
    let broker = BrokerConfig::parse(stack.broker.url(), "test").unwrap();
    let parked = parked::list(&broker, USER_AUTHENTICATED_QUEUE, 10).await;
    assert!(parked.unwrap().is_empty());
}
