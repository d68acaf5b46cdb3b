use std::collections::HashSet;
use std::time::Duration;

use latchkey_testkit::TestDatabase;
use tokio::task::JoinHandle;

use super::super::Store;
use super::super::connections::FAIR_SHARE;
use super::super::lease::{Holder, LeaseAsk};
use super::super::tests::{connected, store};
use super::*;

/// Takes all connections that reads may have.
async fn all_connections(store: &Store) -> Vec<HeldConnection> {
    let (share, of) = FAIR_SHARE;
    let mut held = Vec::new();
    for _ in 0..store.connections.pool().options().get_max_connections() * share / of {
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
    let calls = asks.iter().map(|&(account, ask)| {
        let (statement, connections) = (statement.clone(), store.connections.clone());
        tokio::spawn(async move { statement.execute(&connections, account, ask).await })
    });
    let calls = calls.collect();
    while statement.queue().len() < asks.len() {
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
    accounts.push(accounts[0]);
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
async fn a_row_that_cannot_be_parsed_harms_no_other_call() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let accounts = [connected(&database).await, connected(&database).await];
    sqlx::query("UPDATE vault.credential SET provider = '' WHERE account_id = $1")
        .bind(accounts[0].as_uuid())
        .execute(database.pool())
        .await
        .unwrap();
    let held = all_connections(&store).await;
    let asks = accounts.map(|account| (account, ()));
    let mut calls = waiting(&store, &store.credentials, &asks).await.into_iter();
    drop(held);
    let mut next = async || calls.next().unwrap().await.unwrap();
    assert!(matches!(next().await, Err(StoreError::Unreadable { .. })));
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
    // The first call reads both rows.
    held.pop();
    while !store.credentials.queue().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    calls.remove(0).abort();
    lock.rollback().await.unwrap();
    drop(held);
    let answer = tokio::time::timeout(Duration::from_secs(20), calls.remove(0)).await;
    assert!(answer.unwrap().unwrap().unwrap().is_some());
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
            assert_eq!(lease.holder, ask.attempt.id());
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
