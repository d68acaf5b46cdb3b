//! Databases and virtual hosts of different tests are separate.

use latchkey_testkit::{Role, TestBroker, TestDatabase};
use sqlx::PgPool;

#[tokio::test]
async fn each_test_has_its_own_migrated_database() {
    let (one, other) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    sqlx::query("INSERT INTO auth.workspace (name) VALUES ('Acme')")
        .execute(one.pool())
        .await
        .unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM auth.workspace")
        .fetch_one(other.pool())
        .await
        .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_service_role_reads_only_its_schema() {
    let database = TestDatabase::create().await;
    let auth = PgPool::connect(&database.url(Role::Auth)).await.unwrap();
    sqlx::query("SELECT FROM auth.workspace")
        .execute(&auth)
        .await
        .unwrap();
    let refused = sqlx::query("SELECT FROM vault.credential")
        .execute(&auth)
        .await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_test_database_is_dropped_with_its_value() {
    let database = TestDatabase::create().await;
    let url = database.url(Role::Owner);
    drop(database);
    assert!(PgPool::connect(&url).await.is_err());
}

#[tokio::test]
async fn each_test_has_its_own_virtual_host() {
    let broker = TestBroker::create().await;
    assert!(broker.queues().await.unwrap().is_empty());
    assert!(broker.url().ends_with(broker.vhost()));
}
