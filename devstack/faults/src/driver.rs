//! The driver: people who sign in through real HTTP, connect, disconnect, choose, and callers who
//! ask for their tokens. Everything that it does is in the history.

mod accounts;
mod person;
mod tokens;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use devstack::Stack;
use devstack::browser::Browser;
use latchkey_demo_provider::PeopleAdder;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::history::{History, Moment, Person, Provider};
use accounts::Accounts;

/// People who are added to the provider at once.
const BATCH: usize = 200;
/// Token calls that wait for their answers at most.
const TOKEN_CALLS: usize = 128;
/// The share of the people at the strict provider.
const STRICT: f64 = 0.8;

/// How much the driver does.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Number of people. Each signs in at least once, and then does a few random things.
    pub people: usize,
    /// People who begin in a second, at most.
    pub rate: u32,
    /// People who are there at once, at most.
    pub at_once: usize,
    /// Token calls in a second, for random accounts.
    pub token_calls: u32,
    /// Seed of what people do.
    pub seed: u64,
}

/// An access token that a caller got.
#[derive(Clone)]
pub struct GivenToken {
    /// The token in clear.
    pub token: String,
    /// The person whose account it is for.
    pub person: String,
    /// When it was asked for.
    pub asked: Moment,
    /// When it was answered.
    pub answered: Moment,
}

impl std::fmt::Debug for GivenToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenToken")
            .field("person", &self.person)
            .finish_non_exhaustive()
    }
}

/// What the driver talks to.
#[derive(Debug)]
pub struct Driver {
    history: Arc<History>,
    public_url: String,
    provider_url: String,
    people: PeopleAdder,
    browser: Browser,
    tokens: TokenServiceClient<Channel>,
    http: reqwest::Client,
    accounts: Accounts,
    given: Mutex<Vec<GivenToken>>,
    stopping: CancellationToken,
}

impl Driver {
    /// Connects to the services of a stack. The pool looks for accounts.
    ///
    /// # Errors
    /// There is no connection to refresh-svc.
    pub async fn connect(
        stack: &Stack,
        pool: PgPool,
        history: Arc<History>,
    ) -> anyhow::Result<Arc<Self>> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()?;
        Ok(Arc::new(Self {
            public_url: stack.public_url().to_owned(),
            provider_url: stack.demo().base_url().to_owned(),
            people: stack.demo().people_adder(),
            browser: Browser::new()?,
            tokens: stack.tokens(0).await?,
            http,
            accounts: Accounts::new(pool, Arc::clone(&history)),
            given: Mutex::default(),
            stopping: CancellationToken::new(),
            history,
        }))
    }

    /// Lets nobody begin any more. Those who are there finish.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Returns the number of accounts that were seen in the database.
    pub fn accounts_seen(&self) -> usize {
        self.accounts.all().len()
    }

    /// Returns every access token that a caller got.
    pub fn given(&self) -> Vec<GivenToken> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.clone()
    }

    /// Runs until every person has finished, or until it is stopped.
    ///
    /// # Errors
    /// The semaphore of the people is closed, which nobody does.
    pub async fn run(self: Arc<Self>, load: Load) -> anyhow::Result<()> {
        let ended = CancellationToken::new();
        let _guard = ended.clone().drop_guard();
        let watching = Arc::clone(&self);
        let watched = ended.clone();
        tokio::spawn(async move {
            let watch = watching.accounts.watch();
            watched.run_until_cancelled(watch).await;
        });
        let calling = Arc::clone(&self);
        tokio::spawn(async move {
            let calls = calling.call_tokens(load);
            ended.run_until_cancelled(calls).await;
        });
        let permits = Arc::new(Semaphore::new(load.at_once));
        let mut pace = tokio::time::interval(Duration::from_secs(1) / load.rate.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut people = JoinSet::new();
        for number in 0..load.people {
            if number % BATCH == 0 {
                let batch = number..load.people.min(number + BATCH);
                self.people.add(&batch.map(name).collect::<Vec<_>>());
            }
            let next = async {
                pace.tick().await;
                Arc::clone(&permits).acquire_owned().await
            };
            let Some(permit) = self.stopping.run_until_cancelled(next).await else {
                break;
            };
            let permit = permit?;
            while people.try_join_next().is_some() {}
            let driver = Arc::clone(&self);
            let seed = load.seed.wrapping_add(number as u64);
            people.spawn(async move {
                let mut random = SmallRng::seed_from_u64(seed);
                let person = Person {
                    name: name(number),
                    provider: if random.random_bool(STRICT) {
                        Provider::Strict
                    } else {
                        Provider::Google
                    },
                };
                driver.live(&person, &mut random).await;
                drop(permit);
            });
        }
        while people.join_next().await.is_some() {}
        Ok(())
    }

    /// Asks for tokens of random accounts, at the rate of the load.
    async fn call_tokens(self: Arc<Self>, load: Load) {
        let mut random = SmallRng::seed_from_u64(load.seed);
        let mut pace = tokio::time::interval(Duration::from_secs(1) / load.token_calls.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = JoinSet::new();
        loop {
            pace.tick().await;
            while calls.try_join_next().is_some() {}
            if calls.len() >= TOKEN_CALLS {
                continue;
            }
            if let Some((person, account)) = self.accounts.any(&mut random) {
                let driver = Arc::clone(&self);
                calls.spawn(async move { driver.token(&person, account).await });
            }
        }
    }
}

fn name(number: usize) -> String {
    format!("p{number}")
}
