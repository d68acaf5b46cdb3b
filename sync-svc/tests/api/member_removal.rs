//! A member who was removed from a workspace: `member.removed.v1` (R18, R37).

use latchkey_domain::EventId;
use latchkey_messaging::topology::SYNC_SVC_QUEUE;
use latchkey_proto::events::MemberRemoved;
use uuid::Uuid;

use crate::support::person::{Person, applied, at, count};
use crate::support::service::TestService;

fn removal(person: &Person, second: i64, keep_connections: bool) -> MemberRemoved {
    MemberRemoved {
        workspace_id: person.workspace.to_string(),
        user_id: person.user.to_string(),
        removed_at: Some(at(second)),
        keep_connections,
    }
}

async fn removed(service: &TestService, event: &MemberRemoved) {
    let id = EventId::generate();
    service.publish(id, event).await;
    applied(service, id).await;
    // Delivered again, it is applied once. An event that is published after it is applied
    // after it.
    service.publish(id, event).await;
    let behind = EventId::generate();
    service
        .publish(behind, &removal(&Person::new(), 0, false))
        .await;
    applied(service, behind).await;
}

/// Accounts that refresh-svc is requested to disconnect.
async fn asked(service: &TestService) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT account_id FROM vault.disconnect_request ORDER BY account_id")
        .fetch_all(service.database.pool())
        .await
        .unwrap()
}

// R37: only the accounts that the person connected in this workspace.
#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_of_a_removed_member_are_to_be_disconnected() {
    let service = TestService::start().await;
    let (gone, stays) = (Person::new(), Person::new());
    let elsewhere = Person {
        workspace: Uuid::new_v4(),
        user: gone.user,
    };
    for person in [&gone, &stays, &elsewhere] {
        person.applies(&service, person.sign_in(10)).await;
    }
    removed(&service, &removal(&gone, 20, false)).await;
    assert_eq!(asked(&service).await, [gone.account(&service).await.id]);
}

// R37
#[tokio::test(flavor = "multi_thread")]
async fn accounts_stay_connected_where_the_administrator_says_so() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(10)).await;
    removed(&service, &removal(&person, 20, true)).await;
    assert!(asked(&service).await.is_empty());
}

// R18, R37: a sign-in that is older than the removal and arrives late connects nothing;
// a newer one connects the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_older_than_the_removal_connects_nothing_after_it() {
    let service = TestService::start().await;
    let person = Person::new();
    removed(&service, &removal(&person, 20, false)).await;
    person.applies(&service, person.sign_in(10)).await;
    let accounts = "SELECT count(*) FROM sync.connected_account";
    assert_eq!(count(&service, accounts).await, 0);
    // Delivered out of order: the later removal counts.
    removed(&service, &removal(&person, 5, false)).await;
    person.applies(&service, person.sign_in(15)).await;
    assert_eq!(count(&service, accounts).await, 0);

    person.applies(&service, person.sign_in(30)).await;
    assert_eq!(count(&service, accounts).await, 1);
    // The removal again, as another event: the later connection stays.
    removed(&service, &removal(&person, 20, false)).await;
    assert!(asked(&service).await.is_empty());
}

// R18: whichever of the two deliveries is handled first, no account stays connected by a
// sign-in that is older than the removal.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_and_a_sign_in_at_once_leave_nothing_connected() {
    let service = TestService::start_with(2, &[]).await;
    for _ in 0..10 {
        let person = Person::new();
        let (sign_in, removal_id) = (EventId::generate(), EventId::generate());
        let (event, gone) = (person.sign_in(10), removal(&person, 20, false));
        tokio::join!(
            service.publish(sign_in, &event),
            service.publish(removal_id, &gone)
        );
        applied(&service, sign_in).await;
        applied(&service, removal_id).await;
    }
    let left = "SELECT count(*) FROM sync.connected_account a
                WHERE NOT EXISTS (SELECT FROM vault.disconnect_request d
                                  WHERE d.account_id = a.id)";
    assert_eq!(count(&service, left).await, 0);
}

// An event that cannot be read is parked, not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_without_a_time_is_parked() {
    let service = TestService::start().await;
    let event = MemberRemoved {
        removed_at: None,
        ..removal(&Person::new(), 0, false)
    };
    service.publish(EventId::generate(), &event).await;
    let config = latchkey_messaging::BrokerConfig::parse(service.broker.url(), "test").unwrap();
    latchkey_testkit::eventually("it is parked", async || {
        let parked = latchkey_messaging::parked::list(&config, SYNC_SVC_QUEUE, 10).await;
        parked.is_ok_and(|parked| parked.len() == 1)
    })
    .await;
}
