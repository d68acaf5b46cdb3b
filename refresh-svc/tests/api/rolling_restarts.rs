//! R46: rolling restarts under load, as in a deployment: SIGTERM to one replica after
//! the other, each followed by a new process.
//!
//! `LATCHKEY_RESTARTS=100 LATCHKEY_RESTARTS_RATE=200 cargo test -p refresh-svc --test
//! api restarts -- --ignored --nocapture` prints the figures.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use latchkey_client::{MutualTls, TokenClient};
use latchkey_demo_provider::Flavour;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::support::{Account, Process, World};

const REPLICAS: usize = 3;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// Free addresses, for successive processes at the same address.
fn addresses() -> Vec<SocketAddr> {
    let taken: Vec<_> = (0..REPLICAS)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    taken
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect()
}

fn client(world: &World, addresses: &[SocketAddr]) -> TokenClient {
    let own = &world.certificates.client;
    let tls =
        MutualTls::from_files(&world.certificates.authority, &own.certificate, &own.key).unwrap();
    // A token is used until it expires, so each call is a refresh.
    let builder = TokenClient::builder(tls)
        .server_name("localhost")
        .min_remaining(Duration::ZERO)
        .soft_margin(Duration::ZERO);
    addresses
        .iter()
        .fold(builder, |builder, address| {
            builder.address(format!("https://{address}"))
        })
        .build()
        .unwrap()
}

#[derive(Default)]
struct Tally {
    refreshed: AtomicU64,
    failed: AtomicU64,
}

/// Requests tokens of a share of the accounts in turn, each again after its token has
/// expired.
async fn load(
    client: TokenClient,
    accounts: Arc<Vec<Account>>,
    (mine, of): (usize, usize),
    every: Duration,
    tally: Arc<Tally>,
    stop: CancellationToken,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut turn = mine;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let account = accounts[turn % accounts.len()].id;
        turn += of;
        match client.access_token(account).await {
            Ok(_) => tally.refreshed.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                eprintln!("a call failed: {error:?}");
                tally.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

// R31, R33: a strict provider ends a grant whose token it receives twice.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and wants a machine of its own"]
async fn rolling_restarts_under_load_lose_no_grant_and_fail_no_call() {
    const CALLERS: usize = 20;
    let restarts = number("LATCHKEY_RESTARTS", 1);
    let rate = number("LATCHKEY_RESTARTS_RATE", 20);
    let world = World::new().await;
    let mut accounts = Vec::new();
    // Each account is requested once in the life of its tokens.
    world
        .demo
        .change(|settings| settings.access_token_lifetime_s = 1);
    for _ in 0..rate {
        accounts.push(world.expired(Flavour::Oidc).await);
    }
    let accounts = Arc::new(accounts);
    let addresses = addresses();
    let mut replicas: Vec<Process> = addresses
        .iter()
        .map(|address| Process::start_at(&world, *address))
        .collect();
    let (tally, stop) = (Arc::<Tally>::default(), CancellationToken::new());
    let mut callers = JoinSet::new();
    let client = client(&world, &addresses);
    let every =
        Duration::from_secs(1) * u32::try_from(CALLERS).unwrap() / u32::try_from(rate).unwrap();
    let begun = Instant::now();
    for caller in 0..CALLERS {
        callers.spawn(load(
            client.clone(),
            Arc::clone(&accounts),
            (caller, CALLERS),
            every,
            Arc::clone(&tally),
            stop.clone(),
        ));
    }

    for _ in 0..restarts {
        for (position, address) in addresses.iter().enumerate() {
            let seen = tally.refreshed.load(Ordering::Relaxed);
            while tally.refreshed.load(Ordering::Relaxed) < seen + rate {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let old = replicas.remove(position);
            tokio::task::block_in_place(|| old.terminate());
            let next = tokio::task::block_in_place(|| Process::start_at(&world, *address));
            replicas.insert(position, next);
        }
    }
    stop.cancel();
    callers.join_all().await;

    let (refreshed, failed) = (
        tally.refreshed.load(Ordering::Relaxed),
        tally.failed.load(Ordering::Relaxed),
    );
    let mut lost = 0;
    for account in accounts.iter() {
        let dead = world.stored(account).await.auth_failed_at.is_some();
        let stored = world.stored_refresh_token(account).await;
        if dead || !world.demo.refresh_token_works(&stored) {
            lost += 1;
        }
    }
    eprintln!(
        "{restarts} rolling restarts of {REPLICAS} replicas in {:?}: {refreshed} calls answered, \
         {} refreshes at the provider, {failed} calls failed, {lost} grants lost",
        begun.elapsed(),
        world.demo.refreshes(Flavour::Oidc),
    );
    assert_eq!((failed, lost), (0, 0));
}
