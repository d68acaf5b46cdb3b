use latchkey_messaging::topology::MESSAGING_JOBS_QUEUE;
use latchkey_proto::events::AccountConnected;
use prost::Message as _;
use sqlx::Row as _;

use crate::support::person::{Person, channels, execute, published};
use crate::support::service::TestService;

const KILL: &str = "
    UPDATE vault.credential SET auth_failed_at = to_timestamp(1795392005), failure_class = 'INVALID_REFRESH_TOKEN',
        failure_count = 3, retry_after = now(), intent_version = 1, intent_at = now(),
        intent_count = 1, lease_holder = gen_random_uuid(), lease_until = now() + interval '1 min';
    UPDATE sync.channel SET sync_cursor = 'cursor-7', sync_status = 'ACTIVE',
        throttle_failure_count = 4, last_failure = '429' WHERE kind = 'MESSAGE'";

// R22, WP9; the replaced system reset nothing for Microsoft and read the whole
// mailbox again for Google.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_after_a_dead_grant_repairs_everything_and_keeps_the_cursor() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let before = person.account(&service).await;
    published(&service).await;
    service.jobs(MESSAGING_JOBS_QUEUE).await;
    service.observed().await;
    execute(&service, KILL).await;

    person.applies(&service, person.sign_in(10)).await;
    let after = person.account(&service).await;
    assert_eq!(after.id, before.id);
    assert_eq!(after.refresh.as_deref(), Some("refresh-10"));
    assert_eq!(after.version, before.version + 1);
    assert!(!after.dead);
    let row = sqlx::query(
        "SELECT failure_class IS NULL AND retry_after IS NULL AND failure_count = 0
                AND lease_holder IS NULL AND lease_until IS NULL
                AND intent_version IS NULL AND intent_at IS NULL AND intent_count = 0 AS reset
         FROM vault.credential",
    )
    .fetch_one(service.database.pool())
    .await
    .unwrap();
    assert!(row.get::<bool, _>("reset"));

    let found = channels(&service, after.id).await;
    assert_eq!(found[0].shows(), ("ONGOING", "MESSAGE_LIST_FETCH_PENDING"));
    assert_eq!(found[0].cursor, "cursor-7");
    assert!(
        found
            .iter()
            .all(|channel| (channel.generation, channel.jobs) == (2, 2))
    );
    published(&service).await;
    let jobs = service.jobs(MESSAGING_JOBS_QUEUE).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].sync_cursor, "cursor-7");
    let observed = service.observed().await;
    let connected = AccountConnected::decode(observed[0].1.as_slice()).unwrap();
    assert!(connected.reconnected);
}

// R22
#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_grant_replaces_a_dead_one_and_says_what_is_missing() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    execute(&service, KILL).await;
    person.applies(&service, person.partial(10)).await;
    let account = person.account(&service).await;
    assert_eq!(account.access.as_deref(), Some("access-10"));
    let found = channels(&service, account.id).await;
    assert_eq!(found[0].status, "ONGOING");
    assert_eq!(found[1].status, "FAILED_INSUFFICIENT_PERMISSIONS");
}

// R21, R22
#[tokio::test(flavor = "multi_thread")]
async fn an_older_sign_in_never_revives_a_dead_grant() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(10)).await;
    execute(&service, KILL).await;
    person.applies(&service, person.sign_in(5)).await;
    let account = person.account(&service).await;
    assert_eq!(account.access.as_deref(), Some("access-10"));
    assert!(account.dead);
}

// R22
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_sign_in_while_all_is_well_replaces_the_grant_and_queues_nothing() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    person.applies(&service, person.sign_in(10)).await;
    let account = person.account(&service).await;
    assert_eq!(account.refresh.as_deref(), Some("refresh-10"));
    let found = channels(&service, account.id).await;
    assert!(found.iter().all(|channel| channel.jobs == 1));
}
