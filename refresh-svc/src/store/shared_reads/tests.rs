use std::collections::HashSet;
use std::time::Duration;

use latchkey_testkit::TestDatabase;

use super::super::connections::FAIR_SHARE;
use super::super::tests::{connected, store};
use super::super::{Credential, Store};
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

/// Starts reads that wait for a connection.
async fn waiting(
    store: &Store,
    accounts: &[AccountId],
) -> Vec<tokio::task::JoinHandle<Answer<Credential>>> {
    let calls = accounts.iter().map(|&account| {
        let store = store.clone();
        tokio::spawn(async move { store.read(account).await })
    });
    let calls = calls.collect();
    while store.credentials.queue().len() < accounts.len() {
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
    let held = all_connections(&store).await;
    let calls = waiting(&store, &accounts).await;
    drop(held);
    let mut statements = HashSet::new();
    for (call, account) in calls.into_iter().zip(&accounts) {
        let read = call.await.unwrap().unwrap();
        assert_eq!(read.is_none(), *account == unknown);
        if let Some(credential) = read {
            assert_eq!(credential.account, *account);
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
    let mut calls = waiting(&store, &accounts).await.into_iter();
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
    let mut calls = waiting(&store, &accounts).await;
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
