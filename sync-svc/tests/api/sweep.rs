use latchkey_messaging::topology::MESSAGING_JOBS_QUEUE;
use time::Duration;

use crate::support::person::{Person, channels, execute, published};
use crate::support::service::TestService;

/// The service's own sweep has nothing to do during a test.
#[expect(clippy::disallowed_methods, reason = "the service reads it too")]
pub fn now() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
}

async fn sweep(service: &TestService, at: time::OffsetDateTime) -> usize {
    sync_svc::sweep::run_once(service.database.pool(), at)
        .await
        .unwrap()
}

/// Workers take every job and report nothing more.
async fn workers_fall_silent(service: &TestService, since: time::OffsetDateTime) {
    sqlx::query(
        "UPDATE sync.channel
         SET sync_stage = CASE kind WHEN 'MESSAGE' THEN 'MESSAGES_IMPORT_ONGOING'
                                    ELSE 'CALENDAR_EVENT_LIST_FETCH_ONGOING' END,
             sync_stage_started_at = $1
         WHERE sync_status = 'ONGOING'",
    )
    .bind(since)
    .execute(service.database.pool())
    .await
    .unwrap();
}

// In the replaced system such a channel stayed ONGOING for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_whose_workers_fall_silent_gets_new_jobs_and_fails_in_the_end() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    assert_eq!(sweep(&service, now()).await, 0);

    let mut later = now();
    for round in 1..=8 {
        workers_fall_silent(&service, later).await;
        later += Duration::minutes(61);
        let pool = service.database.pool();
        // Two replicas at the same time restart each channel once.
        let (one, other) = tokio::join!(
            sync_svc::sweep::run_once(pool, later),
            sync_svc::sweep::run_once(pool, later)
        );
        assert_eq!(one.unwrap() + other.unwrap(), 2, "round {round}");
    }
    let found = channels(&service, account).await;
    assert_eq!(found[0].shows(), ("FAILED_UNKNOWN", "FAILED"));
    assert_eq!(found[0].jobs, 8);
    later += Duration::minutes(61);
    assert_eq!(sweep(&service, later).await, 0);
    published(&service).await;
    assert_eq!(service.jobs(MESSAGING_JOBS_QUEUE).await.len(), 8);
}

// R28
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_of_a_newer_version_does_not_stop_the_sweep() {
    let service = TestService::start().await;
    let (newer, person) = (Person::new(), Person::new());
    newer.applies(&service, newer.sign_in(0)).await;
    person.applies(&service, person.sign_in(0)).await;
    let (theirs, own) = (
        newer.account(&service).await.id,
        person.account(&service).await.id,
    );
    let day_ago = now() - Duration::days(1);
    workers_fall_silent(&service, day_ago).await;
    // The migration of the newer version does this.
    execute(
        &service,
        "ALTER TABLE sync.channel DROP CONSTRAINT channel_sync_stage_check",
    )
    .await;
    sqlx::query(
        "UPDATE sync.channel
         SET sync_stage = 'MESSAGES_SORTED', sync_stage_started_at = $2
         WHERE account_id = $1 AND kind = 'MESSAGE'",
    )
    .bind(theirs)
    .bind(day_ago - Duration::days(1))
    .execute(service.database.pool())
    .await
    .unwrap();

    assert_eq!(sweep(&service, now()).await, 3);
    let found = channels(&service, own).await;
    assert_eq!(
        found[0].shows(),
        ("ONGOING", "MESSAGE_LIST_FETCH_PENDING"),
        "moved"
    );
    let found = channels(&service, theirs).await;
    assert_eq!(found[0].shows(), ("ONGOING", "MESSAGES_SORTED"));
    // The stage is shown unchanged, and further sign-ins are applied.
    let reported = service.account(theirs).await;
    assert_eq!(reported.channels[0].sync_stage, "MESSAGES_SORTED");
    newer.applies(&service, newer.sign_in(5)).await;
}

// R28: the database refuses to change some channels.
#[tokio::test(flavor = "multi_thread")]
async fn channels_that_cannot_be_changed_do_not_stop_the_sweep() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    workers_fall_silent(&service, now() - Duration::days(1)).await;
    // More of them than the sweep reads at once, and all are older.
    execute(
        &service,
        "INSERT INTO sync.connected_account
             (id, workspace_id, user_id, provider, issuer, subject, handle, last_authenticated_at)
         SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'google', 'x', 'x',
                'x@x.dev', now()
         FROM generate_series(1, 150);
         INSERT INTO sync.channel
             (id, account_id, kind, sync_status, sync_stage, sync_stage_started_at, generation)
         SELECT gen_random_uuid(), id, 'MESSAGE', 'ONGOING', 'MESSAGES_IMPORT_ONGOING',
                now() - interval '3 days', 1
         FROM sync.connected_account WHERE subject = 'x';
         CREATE FUNCTION public.stays() RETURNS trigger LANGUAGE plpgsql AS
             $fn$ BEGIN RAISE 'it stays'; END $fn$;
         CREATE TRIGGER stays BEFORE UPDATE ON sync.channel FOR EACH ROW
             WHEN (OLD.sync_stage_started_at < now() - interval '2 days')
             EXECUTE FUNCTION public.stays()",
    )
    .await;
    assert_eq!(sweep(&service, now()).await, 2);
    let found = channels(&service, account).await;
    assert_eq!(found[0].generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_whose_time_has_come_gets_its_job() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    execute(
        &service,
        "UPDATE sync.channel SET throttle_failure_count = 2,
             throttle_retry_after = now() + interval '5 min' WHERE kind = 'MESSAGE'",
    )
    .await;
    assert_eq!(sweep(&service, now()).await, 0);
    assert_eq!(sweep(&service, now() + Duration::minutes(6)).await, 1);
    let found = channels(&service, account).await;
    assert_eq!((found[0].jobs, found[1].jobs), (2, 1));
}
