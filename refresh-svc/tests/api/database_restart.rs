//! PostgreSQL stops and restarts under load: the test starts its own server and really
//! stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use latchkey_demo_provider::Flavour;
use latchkey_servers::{Postgres, RunDirectory};
use latchkey_testkit::TestDatabase;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::support::{
    Account, Client, PolicyFile, Process, Token, World, eventually, refusal, rule, slow,
};

/// Pause between two requests of one caller: the load stays below what the audit keeps
/// during an outage of this length.
const PACE: Duration = Duration::from_millis(10);

/// Counts of what callers were answered.
#[derive(Default)]
struct Tally {
    answered: AtomicU64,
    refused: AtomicU64,
}

/// Callers that send requests until they are stopped.
struct Callers {
    tally: Arc<Tally>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Callers {
    fn new() -> Self {
        Self {
            tally: Arc::default(),
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Starts a caller that may be refused only as `allowed` states.
    fn ask(&mut self, client: &Client, account: &Account, allowed: fn(&Status) -> bool) {
        let (client, id) = (client.clone(), account.id);
        let (tally, stop) = (Arc::clone(&self.tally), self.stop.clone());
        self.tasks.spawn(async move {
            while !stop.is_cancelled() {
                match client.get(id).await {
                    Ok(_) => tally.answered.fetch_add(1, Ordering::Relaxed),
                    Err(status) if allowed(&status) => {
                        tally.refused.fetch_add(1, Ordering::Relaxed)
                    }
                    Err(status) => panic!("{status:?}"),
                };
                tokio::time::sleep(PACE).await;
            }
        });
    }

    fn answered(&self) -> u64 {
        self.tally.answered.load(Ordering::Relaxed)
    }

    fn refused(&self) -> u64 {
        self.tally.refused.load(Ordering::Relaxed)
    }

    /// Returns the number of answered tokens. Fails if a caller was refused otherwise.
    async fn end(self) -> u64 {
        self.stop.cancel();
        self.tasks.join_all().await;
        self.tally.answered.load(Ordering::Relaxed)
    }
}

/// How a caller without a valid token is refused while the database is down, or if every
/// new token was stored so late that it had expired again.
fn try_again(status: &Status) -> bool {
    let refused = refusal::<()>(Err(status.clone()));
    matches!(
        (refused.code, refused.reason.as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE") | (Code::DeadlineExceeded, "STILL_REFRESHING")
    ) && refused.retry_after.is_some()
}

/// How often the tokens of these accounts were replaced.
async fn replaced(world: &World, accounts: &[Account]) -> u64 {
    let ids: Vec<_> = accounts
        .iter()
        .map(|account| account.id.as_uuid())
        .collect();
    let sum: i64 = sqlx::query_scalar(
        "SELECT sum(version - 1)::bigint FROM vault.credential WHERE account_id = ANY($1)",
    )
    .bind(ids)
    .fetch_one(world.pool())
    .await
    .unwrap();
    u64::try_from(sum).unwrap()
}

fn requests(world: &World) -> u64 {
    Flavour::ALL
        .iter()
        .map(|flavour| world.demo.refreshes(*flavour))
        .sum()
}

// R30, R31, R33, R34, R36.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_ends_under_load_fails_no_valid_token_and_loses_nothing() {
    let directory = RunDirectory::create("refresh-svc-tests").unwrap();
    let mut postgres = Postgres::start(directory.path()).await.unwrap();
    let policy = PolicyFile::new(&rule(
        "[\"test-client\"]",
        "\"*\"",
        "[\"google\", \"microsoft\", \"demo\"]",
        "\"*\"",
        "\"*\"",
    ));
    let database = TestDatabase::create_at(&postgres.url("postgres")).await;
    let world = World::on(database)
        .await
        .with_policy(&policy)
        .with("TOKEN_CACHE_REVALIDATE", "500ms")
        .with("REFRESH_LEASE", "10m");
    world.keep_what_is_committed().await;
    world
        .demo
        .change(|settings| settings.access_token_lifetime_s = 3);
    // Slow enough that some refreshes are always running.
    world.demo.inject(slow(400).times(u32::MAX));

    let replicas = [Process::start(&world), Process::start(&world)];
    let mut clients = Vec::new();
    for replica in &replicas {
        clients.push(Client::connect(replica.grpc, &world.certificates).await);
    }
    let mut valid = Callers::new();
    for number in 0..16 {
        let account = world
            .connect(Flavour::Google, "ada", Token::Expires(3000))
            .await;
        let client = &clients[number % 2];
        // It is cached from now on.
        client.get(account.id).await.unwrap();
        valid.ask(client, &account, |_| false);
    }
    let cached = 16;
    let mut expiring = Callers::new();
    let mut short = Vec::new();
    for flavour in Flavour::ALL {
        for _ in 0..2 {
            let account = world.expired(flavour).await;
            for client in &clients {
                expiring.ask(client, &account, try_again);
            }
            short.push(account);
        }
    }

    for (outage, person) in ["grace", "noor"].into_iter().enumerate() {
        // A dead grant that is detected while nothing can be stored.
        let revoked = world
            .connect(Flavour::Google, person, Token::Expires(-10))
            .await;
        world.demo.revoke(person, None);
        let (client, id) = (clients[outage].clone(), revoked.id);
        let dying = tokio::spawn(async move { client.get(id).await });
        eventually(async || {
            let leased = world.stored(&revoked).await.lease_holder.is_some();
            (leased && requests(&world) > replaced(&world, &short).await).then_some(())
        })
        .await;

        tokio::task::block_in_place(|| match outage {
            0 => postgres.stop(),
            _ => postgres.kill(),
        });
        let (answered, refused) = (valid.answered(), expiring.refused());
        eventually(async || {
            (valid.answered() > answered + 1_000 && expiring.refused() > refused).then_some(())
        })
        .await;
        postgres.resume().await.unwrap();

        // All callers are answered again. A lease that remained from the outage would
        // delay them beyond every deadline.
        join_all(short.iter().flat_map(|account| {
            clients.iter().map(async |client| {
                eventually(async || client.get(account.id).await.ok()).await;
            })
        }))
        .await;
        let refused = match dying.await.unwrap() {
            // The refusal was not stored: it is detected again.
            Err(status) if try_again(&status) => clients[outage].get(id).await,
            other => other,
        };
        assert_eq!(refusal(refused).reason, "INVALID_REFRESH_TOKEN");
        let events = world.reauth_events().await;
        assert_eq!(events.len(), outage + 1);
    }

    let extra = 2 * u64::try_from(short.len() * clients.len()).unwrap();
    let answered = valid.end().await + expiring.end().await + cached + extra;
    // The last refreshes and audit records are stored.
    eventually(async || {
        let stored = replaced(&world, &short).await;
        (requests(&world) == stored + 2).then_some(())
    })
    .await;
    eventually(async || {
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM vault.audit WHERE outcome = 'GIVEN'")
                .fetch_one(world.pool())
                .await
                .unwrap();
        (u64::try_from(rows).unwrap() == answered).then_some(())
    })
    .await;
    for account in &short {
        let stored = world.stored(account).await;
        assert_eq!(stored.auth_failed_at, None);
        let token = world.stored_refresh_token(account).await;
        assert!(world.demo.refresh_token_works(&token));
    }
}
