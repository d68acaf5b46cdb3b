use latchkey_domain::EventId;
use latchkey_proto::events::UserAuthenticated;
use latchkey_testkit::eventually;
use serde_json::{Value, json};

use crate::support::operator::latchkey;
use crate::support::person::{Person, applied, channels, count, execute};
use crate::support::service::TestService;

const LIST: [&str; 3] = ["parked", "list", "--json"];

// R12, R20; the replaced system left an account without a job.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_database_delays_a_connection_and_loses_nothing() {
    let service = TestService::start().await;
    // The last table of the transaction: everything before it is rolled back, except the
    // sequence, which counts the attempts.
    execute(
        &service,
        "CREATE SEQUENCE sync.tries;
         CREATE FUNCTION sync.fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
         $$ BEGIN PERFORM nextval('sync.tries'); RAISE EXCEPTION 'broken'; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON sync.sync_job
         FOR EACH ROW EXECUTE FUNCTION sync.fail()",
    )
    .await;
    let person = Person::new();
    let id = EventId::generate();
    service.publish(id, &person.sign_in(0)).await;
    eventually("it is tried twice", async || {
        count(&service, "SELECT last_value FROM sync.tries").await >= 2
    })
    .await;
    let accounts = "SELECT count(*) FROM sync.connected_account";
    assert_eq!(count(&service, accounts).await, 0);

    execute(&service, "DROP TRIGGER broken ON sync.sync_job").await;
    applied(&service, id).await;
    let account = person.account(&service).await;
    let found = channels(&service, account.id).await;
    assert!(found.iter().all(|channel| channel.jobs == 1));
}

// R12
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_arrives_while_sync_is_down_is_applied_when_it_is_up() {
    let mut service = TestService::start_with(0, &[]).await;
    let person = Person::new();
    let id = EventId::generate();
    service.publish(id, &person.sign_in(0)).await;
    service.start_replica(&[]);
    applied(&service, id).await;
    assert_eq!(person.account(&service).await.version, 1);
    service.stop_replicas().await;
}

// R21
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_between_commit_and_acknowledgement_change_nothing() {
    let service = TestService::start_with(2, &[]).await;
    // Every transaction waits for this lock, with its message unacknowledged.
    let mut blocker = service.database.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE sync.sync_job IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let people: Vec<Person> = (0..40).map(|_| Person::new()).collect();
    let mut ids = Vec::new();
    for person in &people {
        let id = EventId::generate();
        service.publish(id, &person.sign_in(0)).await;
        ids.push(id);
    }
    assert!(service.broker.close_connections().await.unwrap() > 0);
    blocker.rollback().await.unwrap();
    for id in ids {
        applied(&service, id).await;
    }
    for person in &people {
        let account = person.account(&service).await;
        assert_eq!(account.version, 1);
        let found = channels(&service, account.id).await;
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|channel| channel.jobs == 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_is_parked_and_its_reason_is_listed_and_it_can_be_redriven() {
    let service = TestService::start().await;
    let person = Person::new();
    let mut wrong = person.sign_in(0);
    wrong.workspace_id = "no uuid".to_owned();
    let id = EventId::generate();
    service.publish(id, &wrong).await;
    let mut listed = Value::Null;
    eventually("it is parked", async || {
        listed = latchkey(&service, &LIST, None).await.json();
        listed != json!([])
    })
    .await;
    assert_eq!(listed[0]["id"], id.to_string());
    assert_eq!(listed[0]["reason"], "workspace id must be a UUID");
    assert_eq!(
        count(&service, "SELECT count(*) FROM sync.connected_account").await,
        0
    );

    let id = id.to_string();
    let shown = latchkey(&service, &["parked", "show", &id], None).await;
    assert_eq!(shown.out.lines().count(), 2, "{shown:?}");
    let redriven = latchkey(&service, &["parked", "redrive", &id], None).await;
    assert_eq!(
        redriven.out, "sync-svc.events: 1 published again\n",
        "{redriven:?}"
    );
}

// R12: a message without an id can be addressed too, and what cannot be repaired is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_message_without_an_id_has_a_number_and_can_be_discarded() {
    let service = TestService::start().await;
    let routing_key = "user.authenticated.v1";
    for _ in 0..2 {
        service.publish_without_id(routing_key, b"no event").await;
    }
    let listed = || async { latchkey(&service, &LIST, None).await.json() };
    eventually("both are parked", async || {
        listed().await.as_array().unwrap().len() == 2
    })
    .await;
    let both = listed().await;
    assert_eq!(
        (&both[1]["id"], &both[1]["number"]),
        (&Value::Null, &json!(2))
    );
    let shown = latchkey(&service, &["parked", "show", "2"], None).await;
    assert!(shown.out.contains("6e6f206576656e74"), "{shown:?}");

    // Nobody can be asked, or says no: nothing is deleted.
    let discard = ["parked", "discard", "2"];
    let refused = latchkey(&service, &discard, None).await;
    assert!(
        !refused.succeeded && refused.err.contains("--yes"),
        "{refused:?}"
    );
    let refused = latchkey(&service, &discard, Some("n\n")).await;
    assert!(!refused.succeeded, "{refused:?}");
    assert_eq!(listed().await.as_array().unwrap().len(), 2);
    let discarded = latchkey(&service, &discard, Some("y\n")).await;
    assert!(discarded.succeeded, "{discarded:?}");
    let discarded = latchkey(&service, &["parked", "discard", "--all", "--yes"], None).await;
    assert!(discarded.out.contains("1 discarded"), "{discarded:?}");
    assert_eq!(listed().await, json!([]));

    // There is no such message any more.
    for command in ["show", "redrive", "discard"] {
        for name in ["1", &EventId::generate().to_string()] {
            let ran = latchkey(&service, &["parked", command, name], Some("y\n")).await;
            assert!(
                !ran.succeeded && ran.err.contains("there is no such message"),
                "{ran:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_sign_in_is_parked_and_writes_nothing() {
    let service = TestService::start().await;
    let person = Person::new();
    let broken: [fn(&mut UserAuthenticated); 6] = [
        // The database can never store this.
        |event| {
            let grant = event.connection.as_mut().unwrap().grant.as_mut().unwrap();
            grant.granted_scopes.push("a\0b".to_owned());
        },
        |event| event.identity = None,
        |event| event.authenticated_at = None,
        |event| event.authenticated_at.as_mut().unwrap().seconds += 400 * 86_400,
        |event| event.connection.as_mut().unwrap().grant = None,
        |event| event.identity.as_mut().unwrap().handle = "no address".to_owned(),
    ];
    for break_it in broken {
        let mut event = person.sign_in(0);
        break_it(&mut event);
        service.publish(EventId::generate(), &event).await;
    }
    eventually("all are parked", async || {
        let listed = latchkey(&service, &LIST, None).await.json();
        listed.as_array().unwrap().len() == 6
    })
    .await;
    assert_eq!(
        count(&service, "SELECT count(*) FROM sync.connected_account").await,
        0
    );
    // The consumer handles further events.
    person.applies(&service, person.sign_in(0)).await;
}
