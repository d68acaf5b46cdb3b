//! `latchkey-migrate wait`: services start on a migrated database only.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::process::{Command, Output};
use std::str::FromStr as _;
use std::time::Duration;

use latchkey_migrations::{MIGRATOR, NotReady};
use latchkey_testkit::{Role, TestDatabase};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_mins(5);

/// Waits in the background as a role of this database. Returns the reasons of the waiting too.
fn wait(
    database: &TestDatabase,
    role: Role,
) -> (UnboundedReceiver<String>, JoinHandle<Result<(), NotReady>>) {
    let options = PgConnectOptions::from_str(&database.url(role)).unwrap();
    let (sender, reasons) = mpsc::unbounded_channel();
    let waiting = tokio::spawn(async move {
        let report = |problem: &NotReady| {
            let _ = sender.send(problem.to_string());
        };
        latchkey_migrations::wait(&options, LIMIT, report).await
    });
    (reasons, waiting)
}

fn run(url: &str, timeout: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_latchkey-migrate"))
        .args(["wait", "--timeout", timeout])
        .env("DATABASE_URL", url)
        .output()
        .unwrap()
}

#[tokio::test]
async fn every_service_waits_until_the_last_migration_is_applied() {
    // Its template brings the login roles of the services.
    TestDatabase::create().await;
    let database = TestDatabase::create_empty().await;
    let (mut of_owner, owner) = wait(&database, Role::Owner);
    let mut services = Vec::new();
    for role in [Role::Auth, Role::Sync, Role::Refresh] {
        let (mut reasons, waiting) = wait(&database, role);
        let reason = reasons.recv().await.unwrap();
        assert!(reason.contains("not migrated yet"), "{role:?}: {reason}");
        services.push(waiting);
    }
    assert!(of_owner.recv().await.unwrap().contains("not migrated yet"));

    let before_last = MIGRATOR.iter().rev().nth(1).unwrap().version;
    MIGRATOR.run_to(before_last, database.pool()).await.unwrap();
    let known = MIGRATOR.iter().len();
    let mut reason = String::new();
    // It may also have seen the database in the middle of these migrations.
    while !reason.starts_with(&format!("1 of the {known} migrations")) {
        reason = of_owner.recv().await.unwrap();
    }
    for waiting in services.iter().chain([&owner]) {
        assert!(!waiting.is_finished());
    }

    latchkey_migrations::run(database.pool()).await.unwrap();
    for waiting in services.into_iter().chain([owner]) {
        waiting.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_database_that_refuses_connections_is_asked_again() {
    let database = TestDatabase::create().await;
    database.alter("CONNECTION LIMIT 0").await;
    let (mut reasons, waiting) = wait(&database, Role::Auth);
    let reason = reasons.recv().await.unwrap();
    assert!(reason.contains("too many connections"), "{reason}");
    database.alter("CONNECTION LIMIT -1").await;
    waiting.await.unwrap().unwrap();
}

// R46: after a rollback, the services of the previous release start on the newer schema.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_a_newer_release_is_ready() {
    let database = TestDatabase::create().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99990101000000, 'newer', true, '', 0)",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let done = run(&database.url(Role::Refresh), "1m");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn waiting_ends_with_the_reason() {
    let done = run("postgres://nobody@127.0.0.1:1/none", "1s");
    assert_eq!(done.status.code(), Some(1));
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(
        text.contains("gave up after 1s: the database cannot be used"),
        "{text}"
    );
}
