use latchkey_service::database::{PRUNE_BATCH, Sweep as _};
use latchkey_testkit::{Role, TestDatabase};
use sqlx::PgPool;
use sync_svc::cleanup::{self, EarlierJobs};
use uuid::Uuid;

/// Old jobs of deleted channels, and old and young events; `$1` is the number of each.
const OLD_AND_YOUNG: [&str; 3] = [
    "INSERT INTO sync.sync_job (id, channel_id, generation, created_at)
     SELECT gen_random_uuid(), gen_random_uuid(), 1, now() - interval '15 days'
     FROM generate_series(1, $1)",
    "INSERT INTO sync.inbox (event_id, consumer, received_at)
     SELECT gen_random_uuid(), 'connect', now() - interval '15 days' FROM generate_series(1, $1)",
    "INSERT INTO sync.inbox (event_id, consumer, received_at)
     SELECT gen_random_uuid(), 'connect', now() - interval '13 days' FROM generate_series(1, $1)",
];

async fn own(database: &TestDatabase) -> PgPool {
    PgPool::connect(&database.url(Role::Sync)).await.unwrap()
}

async fn count(database: &TestDatabase, statement: &'static str) -> i64 {
    let count = sqlx::query_scalar(statement).fetch_one(database.pool());
    count.await.unwrap()
}

/// A channel that was started three times.
async fn channel(database: &TestDatabase) -> Uuid {
    sqlx::query_scalar(
        "WITH account AS (
             INSERT INTO sync.connected_account
                 (id, workspace_id, user_id, provider, issuer, subject, handle,
                  last_authenticated_at)
             VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'google', 'i', 's',
                     'ada@acme.example', now())
             RETURNING id)
         INSERT INTO sync.channel (id, account_id, kind, sync_status, sync_stage, generation)
         SELECT gen_random_uuid(), id, 'MESSAGE', 'ONGOING', 'MESSAGE_LIST_FETCH_PENDING', 3
         FROM account RETURNING id",
    )
    .fetch_one(database.pool())
    .await
    .unwrap()
}

// R28: the job of the last start stays, however old, because it may have to be queued again. The
// jobs that stay do not hide the others.
#[tokio::test]
async fn jobs_of_earlier_starts_are_deleted_and_the_last_one_is_kept() {
    let database = TestDatabase::create().await;
    sqlx::query(
        "INSERT INTO sync.sync_job (id, channel_id, generation, created_at)
         SELECT gen_random_uuid(), $1, g, now() - interval '30 days' FROM generate_series(1, 3) g",
    )
    .bind(channel(&database).await)
    .execute(database.pool())
    .await
    .unwrap();
    cleanup::run_once(&own(&database).await).await.unwrap();
    let left = "SELECT sum(generation)::bigint FROM sync.sync_job";
    assert_eq!(count(&database, left).await, 3, "only the third");
}

// R39: a statement locks few rows, however many are old.
#[tokio::test]
async fn old_rows_are_deleted_in_bounded_batches_and_young_ones_are_kept() {
    let database = TestDatabase::create().await;
    let old = PRUNE_BATCH * 2 + 10;
    for statement in OLD_AND_YOUNG {
        let inserted = sqlx::query(statement).bind(i32::try_from(old).unwrap());
        inserted.execute(database.pool()).await.unwrap();
    }
    let own = own(&database).await;
    let deleted = cleanup::APPLIED_EVENTS.delete_batch(&own).await.unwrap();
    assert_eq!(deleted, PRUNE_BATCH.unsigned_abs());
    let jobs = "SELECT count(*) FROM sync.sync_job";
    let mut windows = EarlierJobs::default();
    assert!(windows.delete_next(&own).await.unwrap());
    assert_eq!(count(&database, jobs).await, old - 1000, "one window");
    assert!(!windows.delete_next(&own).await.unwrap());
    assert_eq!(count(&database, jobs).await, 0);
    cleanup::run_once(&own).await.unwrap();
    let young = "SELECT count(*) FROM sync.inbox WHERE received_at > now() - interval '14 days'";
    assert_eq!(count(&database, young).await, old);
    let events = "SELECT count(*) FROM sync.inbox";
    assert_eq!(count(&database, events).await, old, "only the young ones");
}

// R39: replicas do not wait for each other's rows.
#[tokio::test]
async fn two_replicas_delete_at_the_same_time() {
    let database = TestDatabase::create().await;
    for statement in OLD_AND_YOUNG {
        let inserted = sqlx::query(statement).bind(10_i32);
        inserted.execute(database.pool()).await.unwrap();
    }
    // Another replica is in the middle of a batch.
    let mut other = database.pool().begin().await.unwrap();
    sqlx::query("DELETE FROM sync.inbox WHERE received_at < now() - interval '14 days'")
        .execute(&mut *other)
        .await
        .unwrap();
    let deleted = cleanup::APPLIED_EVENTS
        .delete_batch(&own(&database).await)
        .await
        .unwrap();
    assert_eq!(deleted, 0, "locked rows are skipped");
    other.rollback().await.unwrap();
}

// R39
#[tokio::test]
async fn the_inbox_and_the_jobs_stay_flat_over_a_simulated_year() {
    let database = TestDatabase::create().await;
    let own = own(&database).await;
    let tables = ["sync.inbox", "sync.sync_job"];
    let channel = channel(&database).await;
    for week in 1..=52_i32 {
        sqlx::query(
            "WITH events AS (
                 INSERT INTO sync.inbox (event_id, consumer)
                 SELECT gen_random_uuid(), 'connect' FROM generate_series(1, 70))
             INSERT INTO sync.sync_job (id, channel_id, generation)
             SELECT gen_random_uuid(), $1, 7 * $2 + n FROM generate_series(0, 6) n",
        )
        .bind(channel)
        .bind(week)
        .execute(database.pool())
        .await
        .unwrap();
        sqlx::query("UPDATE sync.channel SET generation = 7 * $1 + 6")
            .bind(week)
            .execute(database.pool())
            .await
            .unwrap();
        database.let_pass("7 days", &tables).await;
        cleanup::run_once(&own).await.unwrap();
        // What is two weeks old is gone, and the last week is there.
        let events = count(&database, "SELECT count(*) FROM sync.inbox").await;
        let jobs = count(&database, "SELECT count(*) FROM sync.sync_job").await;
        assert_eq!((events, jobs), (70, 7), "week {week}");
    }
}
