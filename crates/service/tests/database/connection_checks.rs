use std::time::Duration;

use latchkey_service::database::{DatabaseCheck, within};
use latchkey_service::health::Check as _;
use latchkey_testkit::{Proxy, Role, TestDatabase};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

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

/// Writes successfully, at the latest after one write that timed out and so closed the connection:
/// on a busy machine the proxy may begin to drop packets a little late.
async fn is_served_again(pool: &PgPool) {
    let limit = Duration::from_secs(20);
    if within(limit, write(pool)).await.is_err() {
        within(limit, write(pool)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_without_a_packet_leaves_the_pool() {
    let database = TestDatabase::create().await;
    let url = database.url(Role::Auth);
    let (proxy, through) = Proxy::in_front_of(&url).await.unwrap();
    let pool = pool_at(&through);
    write(&pool).await.unwrap();
    // The statements of sqlx after this have no time limit of ours: see decision 20.
    has_come_back(&pool).await;

    proxy.drop_packets();
    let limit = Duration::from_millis(200);
    // On a slow machine it was idle so long that it was tested and replaced.
    if let Err(unanswered) = within(limit, write(&pool)).await {
        assert!(matches!(unanswered, sqlx::Error::Io(_)), "{unanswered}");
    }
    // It is the only connection of the pool.
    is_served_again(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_while_it_is_idle_is_replaced() {
    let database = TestDatabase::create().await;
    let url = database.url(Role::Auth);
    let (proxy, through) = Proxy::in_front_of(&url).await.unwrap();
    let pool = pool_at(&through);
    write(&pool).await.unwrap();
    // It was returned, and is tested again after a while.
    has_come_back(&pool).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.drop_packets();
    is_served_again(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_server_was_demoted_leaves_the_pool() {
    let database = TestDatabase::create().await;
    let pool = pool_at(&database.url(Role::Auth));
    write(&pool).await.unwrap();
    // The response of a demoted server to a session from before.
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

    let read_only = "SET default_transaction_read_only = on";
    database.alter(read_only).await;
    assert!(ready(pool_at(&url)).await.is_err(), "a standby reads well");
    database.alter("RESET default_transaction_read_only").await;
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

// An array with one element makes PostgreSQL prefer a new plan for each execution.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_plans_a_statement_once() {
    const STATEMENT: &str = "SELECT count(*) FROM unnest($1::int8[])";
    let database = TestDatabase::create().await;
    let pool = pool_at(&database.url(Role::Auth));
    let mut connection = pool.acquire().await.unwrap();
    for _ in 0..10 {
        sqlx::query(STATEMENT)
            .bind(vec![1_i64])
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    let plans: (i64, i64) = sqlx::query_as(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1",
    )
    .bind(STATEMENT)
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert_eq!(plans, (10, 0));
}

// A plan of a table with one row is kept until statistics are made, which may be minutes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_made_for_a_small_table_uses_an_index() {
    const STATEMENT: &str = "SELECT text FROM public.grown WHERE id = $1";
    let database = TestDatabase::create().await;
    sqlx::raw_sql(
        "CREATE TABLE public.grown (id int8 PRIMARY KEY, text text NOT NULL)
             WITH (autovacuum_enabled = off);
         GRANT SELECT ON public.grown TO PUBLIC;
         INSERT INTO public.grown VALUES (1, 'one');
         ANALYZE public.grown",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let pool = pool_at(&database.url(Role::Auth));
    let mut connection = pool.acquire().await.unwrap();
    let text: String = sqlx::query_scalar(STATEMENT)
        .bind(1_i64)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(text, "one");
    let name: String =
        sqlx::query_scalar("SELECT name FROM pg_prepared_statements WHERE statement = $1")
            .bind(STATEMENT)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
    let plan = explained(&mut connection, &format!("EXECUTE {name}(1)")).await;
    assert!(plan.contains("grown_pkey"), "{plan}");
    assert!(!plan.contains("JIT"), "{plan}");

    // The estimate of this one is that of a table that must not be read.
    let without_index = "SELECT id FROM public.grown WHERE text = 'one'";
    let plan = explained(&mut connection, without_index).await;
    assert!(plan.contains("Seq Scan"), "{plan}");
    assert!(!plan.contains("JIT"), "{plan}");
}

async fn explained(connection: &mut PgConnection, statement: &str) -> String {
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {statement}")))
        .fetch_all(connection)
        .await
        .unwrap();
    plan.join("\n")
}
