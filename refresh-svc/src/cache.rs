//! Opened tokens in memory: bounded, wiped when they leave, dropped when the
//! row changes and looked at again after a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::time::Instant;

use crate::snapshot::Snapshot;

/// An account that nobody asks for leaves after this long.
const IDLE: Duration = Duration::from_mins(30);

/// The cache.
#[derive(Debug)]
pub struct Cache {
    entries: moka::future::Cache<AccountId, Arc<Snapshot>>,
    revalidate_after: Duration,
    /// What was read before this may have missed a notification.
    doubted_until: Mutex<Instant>,
    /// The database did not answer a moment ago.
    cut_off_until: Mutex<Instant>,
}

impl Cache {
    /// A cache of at most `capacity` accounts. What is older than
    /// `revalidate_after` is read again.
    pub fn new(capacity: u64, revalidate_after: Duration) -> Self {
        Self {
            entries: moka::future::Cache::builder()
                .max_capacity(capacity)
                .time_to_idle(IDLE)
                .build(),
            revalidate_after,
            doubted_until: Mutex::new(Instant::now()),
            cut_off_until: Mutex::new(Instant::now()),
        }
    }

    /// What is held of an account, however old.
    pub async fn get(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.entries.get(&account).await
    }

    /// True where it may be answered from without asking the database.
    pub fn is_young(&self, snapshot: &Snapshot) -> bool {
        snapshot.read_at > *locked(&self.doubted_until)
            && snapshot.read_at.elapsed() < self.revalidate_after
    }

    /// Holds what was read. An older version never replaces a newer one: two
    /// readers may end in the other order.
    pub async fn put(&self, snapshot: Arc<Snapshot>) {
        self.entries
            .entry(snapshot.account)
            .and_upsert_with(|held| {
                let newest = match held {
                    Some(held)
                        if (held.value().version, held.value().read_at)
                            > (snapshot.version, snapshot.read_at) =>
                    {
                        held.into_value()
                    }
                    _ => snapshot,
                };
                std::future::ready(newest)
            })
            .await;
    }

    /// Drops an account.
    pub async fn forget(&self, account: AccountId) {
        self.entries.invalidate(&account).await;
    }

    /// Everything is looked at again: notifications were missed.
    pub fn doubt_everything(&self) {
        *locked(&self.doubted_until) = Instant::now();
    }

    /// The database did not answer: what is valid serves for a while without
    /// asking it.
    pub fn cut_off_for(&self, pause: Duration) {
        *locked(&self.cut_off_until) = Instant::now() + pause;
    }

    /// True where the database did not answer a moment ago.
    pub fn is_cut_off(&self) -> bool {
        Instant::now() < *locked(&self.cut_off_until)
    }
}

fn locked(instant: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    instant.lock().unwrap_or_else(PoisonError::into_inner)
}
