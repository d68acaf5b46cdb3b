//! Migrations run beside services that write: no statement of a service fails, and no row that one
//! wrote is lost.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails in a helper fails its test"
)]

mod filling;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use filling::migrate_while_filling;
use latchkey_migrations::{MIGRATOR, Waiting, run_reporting};
use latchkey_testkit::{PATIENCE, Role, TestDatabase, eventually};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The last migration from before this test. The later ones run under load.
const BEFORE: i64 = 20_261_127_121_000;

/// Statements on the tables that every sign-in, sync job and token uses. They are those of the
/// version before the migrations, too.
const LOAD: [(Role, &str); 8] = [
    (
        Role::Auth,
        "INSERT INTO auth.outbox (event_id, exchange, routing_key, event_type, subject, payload)
         VALUES (gen_random_uuid(), 'latchkey.events', 'k', 't', 's', '')",
    ),
    (
        Role::Auth,
        "UPDATE auth.session SET last_seen_at = now(), revoked_at = NULL",
    ),
    (
        Role::Auth,
        "INSERT INTO auth.spent_flow (flow_id, expires_at) VALUES (gen_random_uuid(), now())",
    ),
    (
        Role::Sync,
        "INSERT INTO sync.inbox (event_id, consumer) VALUES (gen_random_uuid(), 'connect')",
    ),
    (
        Role::Sync,
        "INSERT INTO sync.sync_job (id, channel_id, generation)
         VALUES (gen_random_uuid(), gen_random_uuid(), 1)",
    ),
    (Role::Sync, "UPDATE sync.channel SET synced_at = now()"),
    (
        Role::Refresh,
        "UPDATE vault.credential SET version = version + 1",
    ),
    (
        Role::Refresh,
        "INSERT INTO vault.audit (id, at, caller, method, outcome)
         VALUES (gen_random_uuid(), now(), 'under-load', 'GetAccessToken', 'GIVEN')",
    ),
];

/// Tables of some size, so that a step that reads them all takes its time.
const MANY_ROWS: &str = "
    INSERT INTO vault.audit (id, at, caller, method, outcome)
    SELECT gen_random_uuid(), now() - n * interval '1 minute', 'before', 'GetAccessToken', 'GIVEN'
    FROM generate_series(1, 50000) n;
    INSERT INTO sync.inbox (event_id, consumer)
    SELECT gen_random_uuid(), 'connect' FROM generate_series(1, 50000)";

/// Executes a statement all the time until it is stopped. Returns how often.
fn execute_all_the_time(
    url: String,
    statement: &'static str,
    executed: mpsc::UnboundedSender<&'static str>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<i64> {
    tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        // Those of the services (decision 20).
        for limit in ["SET lock_timeout = '5s'", "SET statement_timeout = '30s'"] {
            let set = sqlx::query(limit).execute(&mut connection).await;
            set.unwrap();
        }
        let mut times = 0;
        while !stop.load(Ordering::Relaxed) {
            let done = sqlx::query(statement).execute(&mut connection).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
            times += 1;
            let _ = executed.send(statement);
            tokio::task::yield_now().await;
        }
        times
    })
}

async fn count(database: &TestDatabase, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(count))
        .fetch_one(database.pool())
        .await
        .unwrap()
}

// R46
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_of_a_service_fails_while_migrations_wait_for_a_lock_and_run() {
    // Its template brings the login roles of the services.
    TestDatabase::create().await;
    let database = TestDatabase::create_empty().await;
    migrate_while_filling(&database, BEFORE).await;
    sqlx::raw_sql(MANY_ROWS)
        .execute(database.pool())
        .await
        .unwrap();
    let audited = count(&database, "vault.audit").await;
    let applied = count(&database, "sync.inbox").await;

    let stop = Arc::new(AtomicBool::new(false));
    let (sender, mut executed) = mpsc::unbounded_channel();
    let load = LOAD.map(|(role, statement)| {
        execute_all_the_time(
            database.url(role),
            statement,
            sender.clone(),
            Arc::clone(&stop),
        )
    });
    // Somebody reads for long what a migration changes: a report or a backup.
    let mut reader = database.pool().begin().await.unwrap();
    for table in ["vault.audit", "auth.session", "sync.inbox"] {
        sqlx::raw_sql(AssertSqlSafe(format!("SELECT FROM {table} LIMIT 1")))
            .execute(&mut *reader)
            .await
            .unwrap();
    }
    let reported = Mutex::new(Vec::new());
    let migrated = run_reporting(database.pool(), |reason| {
        reported.lock().unwrap().push(reason);
    });
    // The reader ends only after the migration has given up its first wait for the lock.
    let read = async {
        eventually("the migration waits for the reader", async || {
            reported.lock().unwrap().contains(&Waiting::Lock)
        })
        .await;
        reader.rollback().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(migrated, read);
    migrated.unwrap();

    // Every statement works afterwards, too.
    while executed.try_recv().is_ok() {}
    let mut waited_for: Vec<&str> = LOAD.iter().map(|(_, statement)| *statement).collect();
    while !waited_for.is_empty() {
        let statement = tokio::time::timeout(PATIENCE, executed.recv());
        let statement = statement.await.unwrap().unwrap();
        waited_for.retain(|one| *one != statement);
    }
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for one in load {
        times.push(one.await.unwrap());
    }
    let written = |part: &str| {
        let mut load = LOAD.iter().zip(&times);
        *load.find(|((_, text), _)| text.contains(part)).unwrap().1
    };
    assert_eq!(
        count(&database, "vault.audit").await,
        audited + written("vault.audit")
    );
    assert_eq!(
        count(&database, "sync.inbox").await,
        applied + written("sync.inbox")
    );
}

// R46: an index that a stopped migrator left unfinished is built again.
#[tokio::test]
async fn an_index_that_was_not_completed_is_built_again() {
    const INDEX: i64 = 20_261_127_150_400;
    let database = TestDatabase::create_empty().await;
    let before = MIGRATOR.iter().rfind(|one| one.version < INDEX).unwrap();
    MIGRATOR
        .run_to(before.version, database.pool())
        .await
        .unwrap();
    sqlx::raw_sql(
        "CREATE INDEX session_revoked_at ON auth.session (revoked_at);
         UPDATE pg_index SET indisvalid = false
         WHERE indexrelid = 'auth.session_revoked_at'::regclass",
    )
    .execute(database.pool())
    .await
    .unwrap();
    latchkey_migrations::run(database.pool()).await.unwrap();
    let index: String = sqlx::query_scalar(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index
         WHERE indexrelid = 'auth.session_revoked_at'::regclass AND indisvalid",
    )
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert!(index.contains("WHERE (revoked_at IS NOT NULL)"), "{index}");
}

// R46: an index that an operator is building is not valid yet.
#[tokio::test]
async fn an_index_that_is_not_valid_stays_if_no_migration_is_missing() {
    let database = TestDatabase::create().await;
    sqlx::raw_sql(
        "CREATE INDEX of_an_operator ON auth.session (created_at);
         UPDATE pg_index SET indisvalid = false
         WHERE indexrelid = 'auth.of_an_operator'::regclass",
    )
    .execute(database.pool())
    .await
    .unwrap();
    latchkey_migrations::run(database.pool()).await.unwrap();
    let stays: bool = sqlx::query_scalar("SELECT to_regclass('auth.of_an_operator') IS NOT NULL")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert!(stays);
}
