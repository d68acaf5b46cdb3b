//! R33: thousands of callers over three replicas, which are separate processes because
//! this one logs everything for its tests.
//!
//! `LATCHKEY_STORM_SECONDS=3,12,20` also runs the storm with these latencies of the
//! provider.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_demo_provider::Flavour;

use crate::support::{Client, Process, Token, World, slow};

const CALLERS: usize = 5_000;
/// Connections to each replica.
const CONNECTIONS: usize = 8;

struct Storm {
    world: World,
    _replicas: Vec<Process>,
    clients: Vec<Client>,
}

async fn storm() -> Storm {
    // The pool size of a deployment.
    let world = World::new().await.with("DATABASE_MAX_CONNECTIONS", "16");
    let replicas: Vec<Process> = (0..3).map(|_| Process::start(&world)).collect();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        for replica in &replicas {
            clients.push(Client::connect(replica.grpc, &world.certificates).await);
        }
    }
    // A running service has open connections.
    for client in &clients {
        let account = world
            .connect(Flavour::Google, "ada", Token::Expires(3000))
            .await;
        client.get(account.id).await.unwrap();
    }
    Storm {
        world,
        _replicas: replicas,
        clients,
    }
}

// R33: no call fails or exceeds its deadline, and the provider is asked once.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_callers_over_three_replicas_cause_one_request() {
    let Storm {
        world,
        _replicas,
        clients,
    } = storm().await;
    let more = std::env::var("LATCHKEY_STORM_SECONDS").unwrap_or_default();
    let latencies = std::iter::once(0).chain(more.split(',').filter_map(|text| text.parse().ok()));
    for seconds in latencies {
        for flavour in Flavour::ALL {
            let account = world.expired(flavour).await;
            let before = world.demo.refreshes(flavour);
            world.demo.inject(slow(seconds * 1_000));
            let (begun, clients, account) = (Instant::now(), &clients, &account);
            let calls = (0..CALLERS).map(|number| async move {
                let client = &clients[number % clients.len()];
                let token = client.get(account.id).await;
                (token, begun.elapsed())
            });
            let mut answers = join_all(calls).await;

            assert_eq!(world.demo.refreshes(flavour) - before, 1, "{seconds} s");
            assert!(answers.iter().all(|(token, _)| {
                token.as_ref().unwrap().access_token == answers[0].0.as_ref().unwrap().access_token
            }));
            answers.sort_by_key(|(_, took)| *took);
            let p99 = answers[CALLERS * 99 / 100].1;
            eprintln!("{flavour:?}, provider {seconds} s: p99 {p99:?}");
        }
    }
}

// R33
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_expired_accounts_cause_exactly_a_thousand_requests() {
    let Storm {
        world,
        _replicas,
        clients,
    } = storm().await;
    let mut accounts = Vec::new();
    for _ in 0..1_000 {
        accounts.push(world.expired(Flavour::Google).await.id);
    }
    let calls = accounts.iter().flat_map(|account| {
        // Requests every account from every replica.
        (0..3).map(|replica| clients[replica].get_when_the_store_answers(*account))
    });
    for token in join_all(calls).await {
        assert_eq!(token.version, 2);
    }
    assert_eq!(world.demo.refreshes(Flavour::Google), 1_000);
}

// A slow provider uses only its own permits.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider_delays_no_other_and_no_valid_token() {
    let world = World::new().await.with("REFRESH_CONCURRENCY", "2");
    let (_replica, client) = world.served().await;
    let valid = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    world.demo.inject(slow(60_000).of(Flavour::Google).times(9));
    let mut stuck = Vec::new();
    for _ in 0..6 {
        let (client, id) = (client.clone(), world.expired(Flavour::Google).await.id);
        stuck.push(tokio::spawn(async move {
            client.ask_within(id, Duration::from_secs(20)).await
        }));
    }
    crate::support::eventually(async || (world.demo.refreshes(Flavour::Google) == 2).then_some(()))
        .await;

    assert_eq!(client.get(valid.id).await.unwrap().version, 1);
    for flavour in [Flavour::Microsoft, Flavour::Oidc] {
        let other = world.expired(flavour).await;
        assert_eq!(client.get(other.id).await.unwrap().version, 2);
    }
    // No further request was sent meanwhile.
    assert_eq!(world.demo.refreshes(Flavour::Google), 2);
    assert!(stuck.iter().all(|call| !call.is_finished()));
}
