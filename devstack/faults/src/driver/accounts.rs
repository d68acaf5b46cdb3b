//! The accounts of the people, read from the database as soon as they are there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::history::{Entry, History, Moment, Person, Provider};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Time limit of a look.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A look reads the accounts of the last minute, and every so many looks all of them.
const ALL: usize = 50;

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<String, Uuid>,
    all: Vec<(Person, Uuid)>,
}

#[derive(Debug)]
pub(super) struct Accounts {
    pool: PgPool,
    history: Arc<History>,
    known: Mutex<Known>,
}

impl Accounts {
    pub(super) fn new(pool: PgPool, history: Arc<History>) -> Self {
        Self {
            pool,
            history,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns every account that was seen.
    pub(super) fn all(&self) -> Vec<(Person, Uuid)> {
        self.known().all.clone()
    }

    /// Returns a random account.
    pub(super) fn any(&self, random: &mut SmallRng) -> Option<(Person, Uuid)> {
        let known = self.known();
        let last = known.all.len().checked_sub(1)?;
        known.all.get(random.random_range(0..=last)).cloned()
    }

    /// Waits for the account of a person.
    pub(super) async fn wait(&self, person: &Person, limit: Duration) -> Option<Uuid> {
        let begun = Instant::now();
        loop {
            let account = self.known().by_name.get(&person.name).copied();
            if account.is_some() || begun.elapsed() > limit {
                return account;
            }
            sleep(PAUSE).await;
        }
    }

    /// Looks for accounts for ever, through any failure of the database.
    pub(super) async fn watch(&self) {
        for look in 0_usize.. {
            let _ = timeout(TIMEOUT, self.look(look.is_multiple_of(ALL))).await;
            sleep(PAUSE).await;
        }
    }

    /// Reads accounts, all of them or those of the last minute.
    pub(super) async fn look(&self, all: bool) -> sqlx::Result<()> {
        let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
            "SELECT id, provider, handle FROM sync.connected_account
             WHERE $1 OR connected_at > now() - interval '1 minute'",
        )
        .bind(all)
        .fetch_all(&self.pool)
        .await?;
        for (account, provider, handle) in rows {
            self.saw(account, &provider, &handle);
        }
        Ok(())
    }

    fn saw(&self, account: Uuid, provider: &str, handle: &str) {
        let name = handle.split('@').next().unwrap_or_default();
        let providers = [Provider::Strict, Provider::Google];
        let provider = providers.into_iter().find(|one| one.name() == provider);
        let Some(provider) = provider else { return };
        let mut known = self.known();
        if known.by_name.contains_key(name) {
            return;
        }
        let person = Person {
            name: name.to_owned(),
            provider,
        };
        known.by_name.insert(name.to_owned(), account);
        known.all.push((person.clone(), account));
        drop(known);
        self.history.append(Entry::AccountSeen {
            person,
            account,
            at: Moment::now(),
        });
    }
}
