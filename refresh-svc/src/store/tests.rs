use latchkey_domain::AccountId;
use latchkey_testkit::{Role, TestDatabase};
use sqlx::postgres::PgPoolOptions;

use super::*;

pub(super) async fn store(database: &TestDatabase) -> Store {
    let pool = PgPoolOptions::new()
        .connect(&database.url(Role::Refresh))
        .await
        .unwrap();
    Store::new(&pool)
}

pub(super) async fn connected(database: &TestDatabase) -> AccountId {
    let account = AccountId::generate();
    sqlx::query(
        "INSERT INTO vault.credential
             (account_id, workspace_id, user_id, provider, issuer, subject, handle,
              sealed_refresh_token, granted_scopes, authenticated_at)
         VALUES ($1, $1, $1, 'demo', 'https://demo.example', '1', 'ada@acme.example',
                 'sealed', '{}', now())",
    )
    .bind(account.as_uuid())
    .execute(database.pool())
    .await
    .unwrap();
    account
}

const LEASE: Duration = Duration::from_mins(1);

// A statement whose caller has given up may still be executed: it must not end the lease
// of a running refresh.
#[tokio::test]
async fn a_late_lease_statement_never_takes_the_lease_from_a_later_one() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let account = connected(&database).await;
    let holder = Holder::new();
    let (given_up, attempt) = (holder.next(), holder.next());
    let lease = store
        .acquire_lease(account, attempt, LEASE, 1)
        .await
        .unwrap();
    let late = store
        .acquire_lease(account, given_up, LEASE, 1)
        .await
        .unwrap();
    assert!(late.is_none());
    let lease = lease.unwrap();
    store.release_unused(&lease).await.unwrap();
    let left = store.read(account).await.unwrap().unwrap();
    assert_eq!((left.attempts, left.lease_left), (0, Duration::ZERO));

    // A later attempt takes the lease over: the process has lost the earlier one.
    let (lost_sight_of, again) = (holder.next(), holder.next());
    store
        .acquire_lease(account, lost_sight_of, LEASE, 1)
        .await
        .unwrap()
        .unwrap();
    let lease = store.acquire_lease(account, again, LEASE, 1).await.unwrap();
    assert_eq!(lease.unwrap().credential.attempts, 2);
    let others = store
        .acquire_lease(account, Holder::new().next(), LEASE, 1)
        .await;
    assert!(others.unwrap().is_none());
}

// An answer may be as old as its statement, however late it arrives.
#[tokio::test]
async fn a_row_is_as_old_as_the_statement_that_read_it() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let account = connected(&database).await;
    let mut lock = database.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE vault.credential IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let reading = tokio::spawn(async move { store.read(account).await });
    loop {
        let waits: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(database.pool())
        .await
        .unwrap();
        if waits > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asked_before = Instant::now();
    lock.rollback().await.unwrap();
    let read = reading.await.unwrap().unwrap().unwrap();
    assert!(read.read_at < asked_before);
}
