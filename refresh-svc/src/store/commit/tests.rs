use std::collections::HashSet;
use std::time::Duration;

use latchkey_domain::{ScopeSet, SealedAccessToken, SealedRefreshToken};
use latchkey_testkit::TestDatabase;
use time::macros::datetime;
use tokio::task::JoinHandle;

use super::super::Holder;
use super::super::connections::{Connections, HeldConnection, Priority};
use super::super::tests::{connected, store};
use super::*;

type Committed = Result<Option<Credential>, StoreError>;

async fn leased(store: &Store, database: &TestDatabase) -> Lease {
    let account = connected(database).await;
    let attempt = Holder::new().next();
    let lease = store.acquire_lease(account, attempt, Duration::from_mins(1), 1);
    lease.await.unwrap().unwrap()
}

async fn three_leases(store: &Store, database: &TestDatabase) -> [Lease; 3] {
    [
        leased(store, database).await,
        leased(store, database).await,
        leased(store, database).await,
    ]
}

fn tokens(text: &str) -> NewTokens {
    NewTokens {
        sealed_access_token: SealedAccessToken::new(text.as_bytes().to_vec()),
        access_token_expires_at: datetime!(2030-01-01 00:00 UTC),
        sealed_refresh_token: None,
        refresh_token_expires_at: None,
        granted_scopes: None,
        refreshed_at: datetime!(2029-01-01 00:00 UTC),
        client_id: "client".to_owned(),
        forced: false,
    }
}

async fn all_connections(connections: &Connections) -> Vec<HeldConnection> {
    let mut held = Vec::new();
    for _ in 0..connections.pool().options().get_max_connections() {
        held.push(connections.acquire(Priority::Immediate).await.unwrap());
    }
    held
}

/// Stores the tokens of all leases with one statement.
async fn commit_together(
    store: &Store,
    commits: Vec<(Lease, NewTokens)>,
) -> Vec<JoinHandle<Committed>> {
    let held = all_connections(&store.connections).await;
    let number = commits.len();
    let commits = commits.into_iter().map(|(lease, tokens)| {
        let store = store.clone();
        tokio::spawn(async move { store.commit(&lease, &Arc::new(tokens)).await })
    });
    let commits = commits.collect();
    while store.commits.waiting() < number {
        tokio::task::yield_now().await;
    }
    drop(held);
    commits
}

// R31, R33
#[tokio::test]
async fn each_account_of_a_statement_gets_its_own_tokens() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let [plain, rotated, overtaken] = three_leases(&store, &database).await;
    let of_rotated = NewTokens {
        sealed_refresh_token: Some(SealedRefreshToken::new(b"rotated".to_vec())),
        refresh_token_expires_at: Some(datetime!(2031-01-01 00:00 UTC)),
        granted_scopes: Some(
            ["mail", "calendar"]
                .map(str::to_owned)
                .into_iter()
                .collect(),
        ),
        client_id: "other".to_owned(),
        forced: true,
        ..tokens("b")
    };
    let earlier = Lease {
        epoch: overtaken.epoch - 1,
        ..overtaken
    };
    let mut commits = commit_together(
        &store,
        vec![
            (plain, tokens("a")),
            (rotated, of_rotated),
            (earlier, tokens("c")),
        ],
    )
    .await
    .into_iter();
    let mut next = async || commits.next().unwrap().await.unwrap().unwrap();

    let plain = next().await.unwrap();
    assert_eq!(plain.sealed_access_token.as_deref(), Some(b"a".as_slice()));
    assert_eq!(
        plain.sealed_refresh_token.as_deref(),
        Some(b"sealed".as_slice())
    );
    assert_eq!((plain.version, plain.lease_left), (2, Duration::ZERO));
    assert_eq!(plain.granted_scopes, ScopeSet::default());
    assert_eq!(
        (plain.grant_expires_at, plain.force_in),
        (None, Duration::ZERO)
    );
    assert_eq!(plain.client_id.as_deref(), Some("client"));

    let rotated = next().await.unwrap();
    assert_eq!(
        rotated.sealed_access_token.as_deref(),
        Some(b"b".as_slice())
    );
    assert_eq!(
        rotated.sealed_refresh_token.as_deref(),
        Some(b"rotated".as_slice())
    );
    assert_eq!(rotated.granted_scopes.to_string(), "calendar mail");
    assert_eq!(
        rotated.grant_expires_at,
        Some(datetime!(2031-01-01 00:00 UTC))
    );
    assert!(rotated.force_in > Duration::ZERO);
    assert_eq!(rotated.client_id.as_deref(), Some("other"));
    assert_eq!(rotated.read_at, plain.read_at);

    assert!(next().await.is_none());
}

// R33
#[tokio::test]
async fn a_row_that_is_being_written_delays_only_its_own_tokens() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let leases = three_leases(&store, &database).await;
    let mut writes = database.pool().begin().await.unwrap();
    sqlx::query("UPDATE vault.credential SET handle = handle WHERE account_id = $1")
        .bind(leases[0].credential.account.as_uuid())
        .execute(&mut *writes)
        .await
        .unwrap();
    let commits = leases.map(|lease| (lease, tokens("new"))).into();
    let mut commits = commit_together(&store, commits).await.into_iter();
    let written = commits.next().unwrap();
    let mut statements = HashSet::new();
    for other in commits {
        statements.insert(other.await.unwrap().unwrap().unwrap().read_at);
    }
    assert_eq!(statements.len(), 1);
    assert!(!written.is_finished());
    writes.rollback().await.unwrap();
    assert_eq!(written.await.unwrap().unwrap().unwrap().version, 2);
}

// R33
#[tokio::test]
async fn a_row_that_the_database_refuses_harms_no_tokens_of_others() {
    let database = TestDatabase::create().await;
    let store = store(&database).await;
    let leases = three_leases(&store, &database).await;
    sqlx::query("ALTER TABLE vault.credential ADD CHECK (client_id <> 'refused')")
        .execute(database.pool())
        .await
        .unwrap();
    let clients = ["refused", "one", "two"].into_iter();
    let commits = leases.into_iter().zip(clients).map(|(lease, client)| {
        let client_id = client.to_owned();
        let tokens = NewTokens {
            client_id,
            ..tokens("new")
        };
        (lease, tokens)
    });
    let mut commits = commit_together(&store, commits.collect()).await.into_iter();
    let mut next = async || commits.next().unwrap().await.unwrap();
    assert!(matches!(next().await, Err(StoreError::Database(_))));
    assert_eq!(next().await.unwrap().unwrap().version, 2);
    assert_eq!(next().await.unwrap().unwrap().version, 2);
}
