//! A database whose connections are lost silently, that becomes read-only, or that
//! answers late.

use std::time::Duration;

use futures::future::join_all;
use latchkey_demo_provider::Flavour;
use tonic::Code;

use crate::support::{Token, World, eventually, refusal, slow};

/// Connections of the replica.
const CONNECTIONS: &str = "8";
/// Connections that reads may use, of these.
const READ_CONNECTIONS: usize = 5;

// Packets are dropped silently; new connections work. Reads, a refresh that must be
// stored and the readiness check recover by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_drops_packets_silently_is_replaced_without_a_restart() {
    let world = World::uncached()
        .await
        .with("DATABASE_MAX_CONNECTIONS", CONNECTIONS);
    let (world, proxy) = world.behind_a_proxy().await;
    let (replica, client) = world.served().await;
    let mut accounts = Vec::new();
    for _ in 0..READ_CONNECTIONS {
        let account = world
            .connect(Flavour::Google, "ada", Token::Expires(3000))
            .await;
        accounts.push(account);
    }
    let read_all = async || {
        join_all(accounts.iter().map(|account| client.get(account.id)))
            .await
            .into_iter()
            .all(|answer| answer.is_ok())
    };
    eventually(async || read_all().await.then_some(())).await;
    let strict = world.expired(Flavour::Oidc).await;
    world.demo.inject(slow(700));
    let waiting = world.under_way(&client, &strict, Flavour::Oidc).await;

    // Reads and the storing of the refresh wait for the table lock.
    let mut lock = world.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE vault.credential IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    // One call after another: calls at once would share a statement.
    let mut stuck = Vec::new();
    eventually(async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(world.database.pool())
        .await
        .unwrap();
        let all_wait = usize::try_from(waiting).unwrap() > READ_CONNECTIONS;
        if !all_wait {
            let (client, id) = (client.clone(), accounts[stuck.len() % accounts.len()].id);
            stuck.push(tokio::spawn(async move { client.get(id).await }));
        }
        all_wait.then_some(())
    })
    .await;

    proxy.drop_packets();
    lock.rollback().await.unwrap();

    eventually(async || read_all().await.then_some(())).await;
    eventually(async || replica.is_ready().await.then_some(())).await;
    // No call waits for a lost answer.
    for answer in join_all(stuck).await {
        let answer = answer.unwrap();
        if answer.is_err() {
            assert_eq!(refusal(answer).reason, "STORE_UNAVAILABLE");
        }
    }
    assert_eq!(waiting.await.unwrap().unwrap().version, 2);
    let stored = world.stored_refresh_token(&strict).await;
    assert!(world.demo.refresh_token_works(&stored));
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
}

// After a fail-over the old connections lead to a read-only server.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_leaves_a_read_only_server_and_loses_no_grant() {
    let world = World::uncached().await;
    let (replica, client) = world.served().await;
    let rotating = world.expired(Flavour::Oidc).await;
    let idle = world.expired(Flavour::Google).await;
    eventually(async || replica.is_ready().await.then_some(())).await;
    world.demo.inject(slow(700));
    let waiting = world.under_way(&client, &rotating, Flavour::Oidc).await;

    world.demote_database().await;
    // Its reads are answered, but the replica must not be ready.
    eventually(async || (!replica.is_ready().await).then_some(())).await;
    let refused = refusal(client.get(idle.id).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    assert!(refused.retry_after.is_some());
    assert!(!waiting.is_finished());
    world.promote_database().await;

    assert_eq!(
        eventually(async || client.get(idle.id).await.ok())
            .await
            .version,
        2
    );
    eventually(async || replica.is_ready().await.then_some(())).await;
    assert_eq!(waiting.await.unwrap().unwrap().version, 2);
    let stored = world.stored_refresh_token(&rotating).await;
    assert!(world.demo.refresh_token_works(&stored));
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 1);
}

// R37: a dead connection loses notifications, and only missing heartbeats reveal this.
// Entries of the cache are trusted for an hour here.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_heartbeats_reconnects() {
    let (world, proxy) = World::new()
        .await
        .with("TOKEN_CACHE_REVALIDATE", "1h")
        .behind_a_proxy()
        .await;
    // Created before the replica listens, so that it receives no notification.
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let (_replica, client) = world.served().await;
    client.get(account.id).await.unwrap();
    world.replicas_listen(1).await;
    // Entries from before it listened are read again and trusted from now on.
    client.get(account.id).await.unwrap();

    proxy.drop_packets();
    sqlx::query(
        "UPDATE vault.credential
         SET auth_failed_at = now(), failure_class = 'INVALID_REFRESH_TOKEN'",
    )
    .execute(world.pool())
    .await
    .unwrap();

    let refused = eventually(async || client.get(account.id).await.err()).await;
    assert_eq!(refusal::<()>(Err(refused)).reason, "INVALID_REFRESH_TOKEN");
}

// R37: a late answer of the database reports an old state. A revocation that was
// notified meanwhile must not be undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_of_the_database_never_brings_a_revoked_token_back() {
    let (world, proxy) = World::new()
        .await
        .with("TOKEN_CACHE_REVALIDATE", "2s")
        .behind_a_proxy()
        .await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let id = account.id.as_uuid();
    proxy.delay_responses(id.as_bytes(), Duration::from_millis(2_700), 1);
    let reading = tokio::spawn({
        let (client, id) = (client.clone(), account.id);
        async move { client.get(id).await }
    });
    // The database has read the row, and its answer is delayed.
    eventually(async || {
        let reads: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND usename = 'refresh_svc'
               AND state = 'idle' AND query LIKE 'SELECT account_id, workspace_id,%'",
        )
        .fetch_one(world.pool())
        .await
        .unwrap();
        (proxy.has_delayed() && reads > 0).then_some(())
    })
    .await;
    sqlx::query(
        "UPDATE vault.credential
         SET auth_failed_at = now(), failure_class = 'INVALID_REFRESH_TOKEN'",
    )
    .execute(world.pool())
    .await
    .unwrap();

    assert!(reading.await.unwrap().is_ok());
    let refused = eventually(async || client.get(account.id).await.err()).await;
    assert_eq!(refusal::<()>(Err(refused)).reason, "INVALID_REFRESH_TOKEN");
}
