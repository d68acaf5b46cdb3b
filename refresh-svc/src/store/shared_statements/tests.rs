use std::collections::HashSet;
use std::time::Duration;

use latchkey_testkit::TestDatabase;
use tokio::task::JoinHandle;

use super::super::Store;
use super::super::lease::{Holder, LeaseAsk};
use super::super::tests::{connected, store};
use super::*;

/// Takes all connections that reads may have.
async fn all_connections(store: &Store) -> Vec<HeldConnection> {
    let mut held = Vec::new();
    for _ in 0..store.connections.fair_permits_left() {
        held.push(store.connections.acquire(Priority::Fair).await.unwrap());
    }
    held
}

/// Starts calls that wait for a connection.
async fn waiting<R: SharedRow>(
    store: &Store,
    statement: &SharedStatement<R>,
    asks: &[(AccountId, R::Ask)],
) -> Vec<JoinHandle<Answer<R::Value>>> {
    let calls = asks.iter().cloned().map(|(account, ask)| {
        let (statement, connections) = (statement.clone(), store.connections.clone());
        tokio::spawn(async move { statement.execute(&connections, account, ask).await })
    });
    let calls = calls.collect();
    while statement.queue().waiting.len() < asks.len() {
        tokio::task::yield_now().await;
    }
    calls
}

// R33
#[tokio::test]
async fn reads_that_wait_for_a_connection_share_statements() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let mut accounts = Vec::new();
    for _ in 0..MAX_ACCOUNTS + 20 {
        accounts.push(connected(&database).await);
    }
    let unknown = AccountId::generate();
    accounts.push(unknown);
    // Two calls for the same account.
    accounts.insert(1, accounts[0]);
    let asks: Vec<_> = accounts.iter().map(|account| (*account, ())).collect();
    let held = all_connections(&store).await;
    let calls = waiting(&store, &store.credentials, &asks).await;
    drop(held);
    let mut statements = HashSet::new();
    for (call, account) in calls.into_iter().zip(accounts) {
        let read = call.await.unwrap().unwrap();
        assert_eq!(read.is_none(), account == unknown);
        if let Some(credential) = read {
            assert_eq!(credential.account, account);
            statements.insert(credential.read_at);
        }
    }
    assert_eq!(statements.len(), 2);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_harms_no_other_call() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let accounts = [
        connected(&database).await,
        connected(&database).await,
        connected(&database).await,
    ];
    for (change, account) in ["provider = ''", "granted_scopes = '{NULL}'"]
        .into_iter()
        .zip(accounts)
    {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE vault.credential SET {change} WHERE account_id = $1"
        )))
        .bind(account.as_uuid())
        .execute(database.pool())
        .await
        .unwrap();
    }
    let held = all_connections(&store).await;
    let asks = accounts.map(|account| (account, ()));
    let mut calls = waiting(&store, &store.credentials, &asks).await.into_iter();
    drop(held);
    let mut next = async || calls.next().unwrap().await.unwrap();
    assert!(matches!(next().await, Err(StoreError::Unreadable { .. })));
    assert!(matches!(next().await, Err(StoreError::Database(_))));
    assert!(next().await.unwrap().is_some());
}

#[tokio::test]
async fn a_call_that_leaves_takes_no_answer_of_others_with_it() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let accounts = [connected(&database).await, connected(&database).await];
    let mut held = all_connections(&store).await;
    let asks = accounts.map(|account| (account, ()));
    let mut calls = waiting(&store, &store.credentials, &asks).await;
    let mut lock = database.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE vault.credential IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    // One worker reads both rows.
    held.pop();
    while !store.credentials.queue().waiting.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    calls.remove(0).abort();
    lock.rollback().await.unwrap();
    drop(held);
    let answer = tokio::time::timeout(Duration::from_secs(20), calls.remove(0)).await;
    assert!(answer.unwrap().unwrap().unwrap().is_some());
}

#[tokio::test]
async fn nobody_waits_for_a_database_that_gives_no_connection() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let account = connected(&database).await;
    let held = all_connections(&store).await;
    let calls = waiting(&store, &store.credentials, &[(account, ()); 20]).await;
    let closed = store.connections.pool().close();
    drop(held);
    closed.await;
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    assert!(store.credentials.queue().waiting.is_empty());
    while store.credentials.queue().workers > 0 {
        tokio::task::yield_now().await;
    }
}

fn lease(holder: &Holder) -> LeaseAsk {
    LeaseAsk {
        attempt: holder.next(),
        length: Duration::from_mins(1),
        stale_version: 1,
    }
}

// R33
#[tokio::test]
async fn each_account_of_a_statement_gets_its_own_lease() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let mut asks = Vec::new();
    for minutes in 1..=10 {
        let ask = LeaseAsk {
            length: Duration::from_mins(minutes),
            // The rows have version 1.
            stale_version: i64::from(minutes != 5),
            ..lease(&Holder::new())
        };
        asks.push((connected(&database).await, ask));
    }
    let held = all_connections(&store).await;
    let calls = waiting(&store, &store.leases, &asks).await;
    drop(held);
    for (call, (account, ask)) in calls.into_iter().zip(asks) {
        let leased = call.await.unwrap().unwrap();
        let (holder, minutes): (Option<Uuid>, Option<f64>) = sqlx::query_as(
            "SELECT lease_holder, extract(epoch FROM lease_until - now())::float8 / 60
             FROM vault.credential WHERE account_id = $1",
        )
        .bind(account.as_uuid())
        .fetch_one(database.pool())
        .await
        .unwrap();
        assert_eq!(leased.is_some(), ask.stale_version == 1);
        assert_eq!(holder, leased.map(|_| ask.attempt.this));
        let wanted = ask.length.as_secs_f64() / 60.0;
        assert!(minutes.is_none_or(|minutes| (wanted - 0.9..=wanted).contains(&minutes)));
    }
}

// R33
#[tokio::test]
async fn one_of_several_attempts_for_the_same_account_gets_the_lease() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let account = connected(&database).await;
    let asks: Vec<_> = (0..3).map(|_| (account, lease(&Holder::new()))).collect();
    let held = all_connections(&store).await;
    let calls = waiting(&store, &store.leases, &asks).await;
    drop(held);
    let mut leased = Vec::new();
    for (call, (_, ask)) in calls.into_iter().zip(asks) {
        if let Some(lease) = call.await.unwrap().unwrap() {
            assert_eq!(lease.holder, ask.attempt.this);
            leased.push(lease);
        }
    }
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].credential.attempts, 1);
}

// R33
#[tokio::test]
async fn a_row_that_is_being_written_delays_no_lease_of_others() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let accounts = [connected(&database).await, connected(&database).await];
    let mut writes = database.pool().begin().await.unwrap();
    sqlx::query("UPDATE vault.credential SET handle = handle WHERE account_id = $1")
        .bind(accounts[0].as_uuid())
        .execute(&mut *writes)
        .await
        .unwrap();
    let holder = Holder::new();
    let asks = accounts.map(|account| (account, lease(&holder)));
    let held = all_connections(&store).await;
    let mut calls = waiting(&store, &store.leases, &asks).await.into_iter();
    drop(held);
    let mut next = async || calls.next().unwrap().await.unwrap().unwrap();
    assert!(next().await.is_none());
    let leased = next().await.unwrap();
    assert_eq!(leased.credential.account, accounts[1]);
    writes.rollback().await.unwrap();
}
