//! The audit of tokens is partitioned by week, and old weeks are dropped (decision 37).

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use latchkey_migrations::MIGRATOR;
use latchkey_testkit::{Role, TestDatabase};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// The first of the migrations that partition the table.
const PARTITIONED: i64 = 20_261_127_150_000;

async fn execute(database: &TestDatabase, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(database.pool())
        .await
        .unwrap();
}

async fn number(connection: &mut PgConnection, statement: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn connect(database: &TestDatabase, role: Role) -> PgConnection {
    PgConnection::connect(&database.url(role)).await.unwrap()
}

/// A statement that inserts so many records; `at` is the time of the record `n`.
fn records(number: i64, at: &str) -> String {
    format!(
        "INSERT INTO vault.audit (id, at, caller, method, outcome)
         SELECT gen_random_uuid(), {at}, 'mail-sync', 'GetAccessToken', 'GIVEN'
         FROM generate_series(1, {number}) n"
    )
}

/// Replaces the first partition by the weeks of the last 60.
async fn with_past_weeks(database: &TestDatabase) {
    execute(
        database,
        "DO $$
         DECLARE week timestamptz;
         BEGIN
             SELECT until INTO STRICT week FROM vault.audit_partitions() WHERE name = 'audit_first';
             DROP TABLE vault.audit_first;
             FOR n IN 1..60 LOOP
                 EXECUTE format('CREATE TABLE vault.%I PARTITION OF vault.audit (PRIMARY KEY (id))
                                 FOR VALUES FROM (%L) TO (%L)', 'past_' || n,
                                week - interval '7 days', week);
                 week := week - interval '7 days';
             END LOOP;
         END
         $$",
    )
    .await;
}

// R36: no record is lost, and whoever could use the table still can.
#[tokio::test]
async fn the_table_of_before_is_the_first_partition() {
    let database = TestDatabase::create_empty().await;
    let before = MIGRATOR.iter().rfind(|one| one.version < PARTITIONED);
    MIGRATOR
        .run_to(before.unwrap().version, database.pool())
        .await
        .unwrap();
    execute(&database, &records(1000, "now() - n * interval '12 hours'")).await;
    execute(&database, "GRANT SELECT ON vault.audit TO latchkey_auth").await;
    latchkey_migrations::run(database.pool()).await.unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    let all = "SELECT count(*) FROM vault.audit WHERE tableoid = 'vault.audit_first'::regclass";
    assert_eq!(number(&mut connection, all).await, 1000);
    let allowed = "SELECT count(*) FROM (VALUES
            ('latchkey_refresh', 'vault.audit', 'INSERT', true),
            ('latchkey_refresh', 'vault.audit', 'SELECT', false),
            ('latchkey_operator', 'vault.audit', 'SELECT', true),
            ('latchkey_operator', 'vault.audit', 'DELETE', false),
            ('latchkey_auth', 'vault.audit', 'SELECT', true),
            ('latchkey_auth', 'vault.audit_first', 'SELECT', false),
            ('latchkey_refresh', 'vault.audit_first', 'INSERT', false)) AS t (who, what, how, may)
        WHERE has_table_privilege(who, what, how) = may";
    assert_eq!(number(&mut connection, allowed).await, 7);
    // An investigation reads only the partitions of its time.
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT FROM vault.audit WHERE at > now() + interval '21 days'
                                           AND at < now() + interval '22 days'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let plan = plan.join("\n");
    assert!(!plan.contains("audit_first"), "{plan}");
}

// R36: a role that may only append creates the partitions, and a missing one loses no record.
#[tokio::test]
async fn partitions_are_created_ahead_and_a_record_without_one_is_kept() {
    let database = TestDatabase::create().await;
    let mut refresh = connect(&database, Role::Refresh).await;
    let prepare = "SELECT vault.audit_prepare()::bigint";
    assert_eq!(number(&mut refresh, prepare).await, 0, "by the migration");
    execute(
        &database,
        "DO $$
         DECLARE part text;
         BEGIN
             FOR part IN SELECT name FROM vault.audit_partitions() WHERE is_whole LOOP
                 EXECUTE format('DROP TABLE vault.%I', part);
             END LOOP;
         END
         $$",
    )
    .await;
    let later = records(3, "(SELECT max(until) FROM vault.audit_partitions())");
    execute(&database, &later).await;
    let created = number(&mut refresh, prepare).await;
    // A week has records in the default partition and stays there.
    assert!((2..=4).contains(&created), "{created}");
    execute(&database, &later).await;
    assert_eq!(number(&mut refresh, prepare).await, 0, "nothing is missing");
    let mut operator = connect(&database, Role::Operator).await;
    let all = "SELECT count(*) FROM vault.audit";
    assert_eq!(number(&mut operator, all).await, 6);
}

// R36: each call deletes about as many records as it may, in a transaction of its own, and says so
// in a record.
#[tokio::test]
async fn old_weeks_are_dropped_and_other_old_records_are_deleted_in_batches() {
    let database = TestDatabase::create().await;
    with_past_weeks(&database).await;
    // In the last weeks, and older than every partition.
    execute(
        &database,
        &records(300, "now() - (n - 1) * interval '1 day'"),
    )
    .await;
    execute(&database, &records(25, "now() - interval '3 years'")).await;
    let mut operator = connect(&database, Role::Operator).await;
    let mut calls = Vec::new();
    loop {
        let prune = "SELECT vault.audit_prune(interval '35 days', 10)";
        let pruned = number(&mut operator, prune).await;
        assert!(pruned <= 10 + 7, "{pruned}");
        calls.push(pruned);
        if pruned < 10 {
            break;
        }
    }
    assert_eq!(calls[..2], [10, 10], "rows of the default partition");
    let told = "SELECT count(*) FROM vault.audit WHERE outcome = 'PRUNED'";
    let calls_told = i64::try_from(calls.len()).unwrap();
    assert_eq!(number(&mut operator, told).await, calls_told);
    let left = "SELECT count(*) FROM vault.audit WHERE outcome = 'GIVEN'";
    let left = number(&mut operator, left).await;
    assert_eq!(left, 325 - calls.iter().sum::<i64>());
    // A week is kept until its youngest record is old enough.
    assert!((35..=36 + 7).contains(&left), "{left}");
    let old =
        "SELECT count(*) FROM vault.audit_partitions() WHERE until < now() - interval '35 days'";
    assert_eq!(number(&mut operator, old).await, 0);
}

// R36: what a person deletes regularly stays flat. The time passes by keeping less and less.
#[tokio::test]
async fn the_audit_stays_flat_over_a_simulated_year() {
    let database = TestDatabase::create().await;
    with_past_weeks(&database).await;
    let mut operator = connect(&database, Role::Operator).await;
    for week in (0..52).rev() {
        let at = format!("now() - interval '{week} weeks' - n * interval '1 hour'");
        execute(&database, &records(7 * 24, &at)).await;
        let prune =
            format!("SELECT vault.audit_prune(interval '30 days' + interval '{week} weeks', 1000)");
        number(&mut operator, &prune).await;
        let given = "SELECT count(*) FROM vault.audit WHERE outcome = 'GIVEN'";
        let given = number(&mut operator, given).await;
        assert!(given <= (30 + 7) * 24 + 24, "{week} weeks ago: {given}");
    }
}

// R36: a batch that is sent again, because the answer to it was lost, is refused as a whole.
#[tokio::test]
async fn a_record_that_is_sent_twice_is_kept_once() {
    let database = TestDatabase::create().await;
    let mut refresh = connect(&database, Role::Refresh).await;
    for at in [
        "now()",
        "now() + interval '20 days'",
        "now() + interval '1 year'",
    ] {
        let time: String = sqlx::query_scalar(AssertSqlSafe(format!("SELECT ({at})::text")))
            .fetch_one(&mut refresh)
            .await
            .unwrap();
        let insert = format!(
            "INSERT INTO vault.audit (id, at, caller, method, outcome)
             VALUES (md5('{time}')::uuid, '{time}', '', 'GetAccessToken', 'GIVEN')"
        );
        let first = sqlx::query(AssertSqlSafe(insert.clone()));
        first.execute(&mut refresh).await.unwrap();
        let second = sqlx::query(AssertSqlSafe(insert));
        let refused = second.execute(&mut refresh).await.unwrap_err();
        let refused = refused.into_database_error().unwrap();
        assert!(refused.is_unique_violation(), "{at}: {refused}");
    }
}
