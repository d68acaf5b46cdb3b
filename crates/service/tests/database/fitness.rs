use std::time::Duration;

use latchkey_service::database::{DatabaseCheck, within};
use latchkey_service::health::Check as _;
use latchkey_testkit::{Role, TcpForwarder, TestDatabase};
use sqlx::PgPool;

use crate::pool_at;

const WRITE: &str = "UPDATE auth.readiness SET written_at = clock_timestamp()";

async fn write(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query(WRITE).execute(pool).await.map(drop)
}

/// Waits until the pool has its connection again.
async fn has_come_back(pool: &PgPool) {
    while pool.num_idle() == 0 {
        tokio::task::yield_now().await;
    }
}

/// A write is served, at the latest after one that met its deadline and so closed the
/// connection: on a busy machine the proxy may begin to swallow packets a little late.
async fn is_served_again(pool: &PgPool) {
    let limit = Duration::from_secs(5);
    if within(limit, write(pool)).await.is_err() {
        within(limit, write(pool)).await.unwrap();
    }
}

async fn alter(database: &TestDatabase, what: &str) {
    let mut connection = database.pool().acquire().await.unwrap();
    // A connection that is new while the database only reads may write all the same.
    sqlx::query("SET default_transaction_read_only = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let statement = format!("ALTER DATABASE {name} {what}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut *connection)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_away_without_a_word_leaves_the_pool() {
    let database = TestDatabase::create().await;
    let url = database.url(Role::Auth);
    let way = TcpForwarder::start(&url).await;
    let pool = pool_at(&way.url(&url));
    write(&pool).await.unwrap();
    // What sqlx asks after that has no limit of ours: see decision 20.
    has_come_back(&pool).await;

    way.blackhole();
    let limit = Duration::from_millis(200);
    // On a slow machine it lay idle so long that it was looked at and replaced.
    if let Err(unanswered) = within(limit, write(&pool)).await {
        assert!(matches!(unanswered, sqlx::Error::Io(_)), "{unanswered}");
    }
    // The only one that the pool may have.
    is_served_again(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_away_while_nobody_used_it_is_replaced() {
    let database = TestDatabase::create().await;
    let url = database.url(Role::Auth);
    let way = TcpForwarder::start(&url).await;
    let pool = pool_at(&way.url(&url));
    write(&pool).await.unwrap();
    // It has come back, and is looked at again after a while.
    has_come_back(&pool).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    way.blackhole();
    is_served_again(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_server_was_demoted_leaves_the_pool() {
    let database = TestDatabase::create().await;
    let pool = pool_at(&database.url(Role::Auth));
    write(&pool).await.unwrap();
    // What a server that was demoted answers to a session that outlived it.
    sqlx::query("SET default_transaction_read_only = on")
        .execute(&pool)
        .await
        .unwrap();
    write(&pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_asks_for_a_write() {
    let database = TestDatabase::create().await;
    let ready = |pool| async move { DatabaseCheck::new(pool, WRITE).check().await };
    let url = database.url(Role::Auth);
    assert_eq!(ready(pool_at(&url)).await, Ok(()));

    alter(&database, "SET default_transaction_read_only = on").await;
    assert!(ready(pool_at(&url)).await.is_err(), "a standby reads well");
    alter(&database, "RESET default_transaction_read_only").await;
    assert_eq!(ready(pool_at(&url)).await, Ok(()));

    let foreign = "UPDATE sync.readiness SET written_at = clock_timestamp()";
    let check = DatabaseCheck::new(pool_at(&url), foreign);
    assert!(check.check().await.is_err(), "its own schema alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gives_up_too() {
    let database = TestDatabase::create().await;
    let pool = pool_at(&database.url(Role::Auth));
    for (setting, value) in [
        ("statement_timeout", "30s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("tcp_user_timeout", "30000"),
    ] {
        let set: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(set, value, "{setting}");
    }
}
