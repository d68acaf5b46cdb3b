//! `latchkey-client` against the real service; its own tests use a fake.

use latchkey_client::{MutualTls, Reason, TokenClient, TokenError};
use latchkey_demo_provider::Flavour;
use tokio::task::JoinSet;

use crate::support::{Replica, World, eventually};

fn client(world: &World, replicas: &[&Replica]) -> TokenClient {
    let own = &world.certificates.client;
    let tls =
        MutualTls::from_files(&world.certificates.authority, &own.certificate, &own.key).unwrap();
    let builder = TokenClient::builder(tls).server_name("localhost");
    replicas
        .iter()
        .fold(builder, |builder, replica| {
            builder.address(format!("https://{}", replica.grpc))
        })
        .build()
        .unwrap()
}

// R30, R33
#[tokio::test]
async fn many_processes_that_ask_two_replicas_and_report_a_401_cause_one_refresh_each_time() {
    let world = World::new().await;
    let (one, other) = (world.replica(), world.replica());
    let account = world.expired(Flavour::Google).await;
    // Each client represents a process: they share no cache.
    let clients: Vec<_> = (0..10).map(|_| client(&world, &[&one, &other])).collect();

    let mut callers = JoinSet::new();
    for client in &clients {
        for _ in 0..20 {
            let client = client.clone();
            callers.spawn(async move { client.access_token(account.id).await.unwrap().version() });
        }
    }
    let versions = callers.join_all().await;
    assert!(versions.iter().all(|version| *version == versions[0]));
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);

    let mut held = Vec::new();
    for client in clients {
        held.push((client.access_token(account.id).await.unwrap(), client));
    }
    let mut callers = JoinSet::new();
    for (refused, client) in held {
        for _ in 0..20 {
            let (client, refused) = (client.clone(), refused.clone());
            callers.spawn(async move { client.replace_after_401(&refused).await.unwrap() });
        }
    }
    callers.join_all().await;
    assert_eq!(world.demo.refreshes(Flavour::Google), 2);
}

// R34
#[tokio::test]
async fn a_dead_grant_asks_for_a_sign_in() {
    let world = World::new().await;
    let replica = world.replica();
    let account = world.expired(Flavour::Google).await;
    world.demo.revoke("ada", None);

    let error = client(&world, &[&replica])
        .access_token(account.id)
        .await
        .unwrap_err();

    let TokenError::SignInAgain { reason, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, Reason::InvalidRefreshToken);
}

// R33
#[tokio::test]
async fn a_replica_that_was_killed_is_passed_over() {
    let world = World::new().await;
    let (one, other) = (world.replica(), world.replica());
    let client = client(&world, &[&one, &other]);
    one.kill();
    for flavour in Flavour::ALL {
        let account = world.expired(flavour).await;
        client.access_token(account.id).await.unwrap();
    }
}

// R37
#[tokio::test]
async fn a_revoked_account_is_not_found_any_more() {
    let world = World::new().await;
    let replica = world.replica();
    let account = world.expired(Flavour::Google).await;
    let client = client(&world, &[&replica]);
    client.access_token(account.id).await.unwrap();

    assert!(client.revoke_account(account.id).await.unwrap());

    let error = client.access_token(account.id).await.unwrap_err();
    assert_eq!(error, TokenError::NotFound);
}

// R33, R37
#[tokio::test]
async fn changes_elsewhere_reach_the_cache() {
    let world = World::new().await;
    let (one, other) = (world.replica(), world.replica());
    let account = world.expired(Flavour::Google).await;
    let (here, there) = (client(&world, &[&one]), client(&world, &[&other]));
    let first = here.access_token(account.id).await.unwrap();

    let second = there.replace_after_401(&first).await.unwrap();
    eventually(async || {
        let token = here.access_token(account.id).await.unwrap();
        (token.version() == second.version()).then_some(())
    })
    .await;

    there.revoke_account(account.id).await.unwrap();
    eventually(async || (here.cached_accounts() == 0).then_some(())).await;
}
