//! NOTIFY `latchkey_credential`: a credential changed, in this replica or
//! another. Wakes who waits and drops what is cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_domain::AccountId;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cache::Cache;
use crate::store::{Connections, Queue, STATEMENT, StoreError, within};

const CHANNEL: &str = "latchkey_credential";

/// Between two proofs that changes are told.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// No heartbeat came back for so long, although they were sent: the connection is
/// dead, and nobody said so.
const SILENCE: Duration = Duration::from_secs(3);

/// A connection for listening stands within this.
const CONNECT: Duration = Duration::from_secs(5);

/// Between two tries to listen.
const RETRY: Duration = Duration::from_secs(1);

/// Rings for every credential that changes, and wakes only who waits for it: a
/// thousand accounts that refresh at once do not wake a thousand waiters each.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Mutex<HashMap<AccountId, watch::Sender<()>>>>);

/// Hears the bell of one account.
#[derive(Debug)]
pub struct Ear {
    bell: Bell,
    account: AccountId,
    heard: watch::Receiver<()>,
}

impl Bell {
    /// Begins to listen for an account.
    pub fn listen(&self, account: AccountId) -> Ear {
        let mut ropes = self.ropes();
        let rope = ropes.entry(account).or_insert_with(|| watch::channel(()).0);
        Ear {
            bell: self.clone(),
            account,
            heard: rope.subscribe(),
        }
    }

    /// Rings for an account.
    pub fn ring(&self, account: AccountId) {
        if let Some(rope) = self.ropes().get(&account) {
            rope.send_replace(());
        }
    }

    /// Rings for all: notifications were missed.
    pub fn ring_all(&self) {
        for rope in self.ropes().values() {
            rope.send_replace(());
        }
    }

    fn ropes(&self) -> MutexGuard<'_, HashMap<AccountId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    /// Waits until the account changes or has changed since the last call,
    /// `at_most` where no notification comes.
    pub async fn rung(&mut self, at_most: Duration) {
        // Neither a ring nor the end of the time is more than a reason to look.
        let _ = tokio::time::timeout(at_most, self.heard.changed()).await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut ropes = self.bell.ropes();
        // The last one takes the rope with it.
        if ropes
            .get(&self.account)
            .is_some_and(|rope| rope.receiver_count() <= 1)
        {
            ropes.remove(&self.account);
        }
    }
}

/// Listens until `stop`, whatever the database does.
pub async fn run(connections: Connections, cache: Arc<Cache>, bell: Bell, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let listened = tokio::select! {
            () = stop.cancelled() => return,
            listened = listen(&connections, &cache, &bell) => listened,
        };
        match listened {
            Ok(()) => tracing::warn!("the connection for changes of credentials ended"),
            Err(error) => tracing::warn!(%error, "not listening for changes of credentials"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Listens until the connection is lost, or no heartbeat comes back over it.
async fn listen(connections: &Connections, cache: &Cache, bell: &Bell) -> Result<(), StoreError> {
    // A connection of its own: one that is dead in silence takes none from others.
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(connections.options());
    let mut listener = within(CONNECT, PgListener::connect_with(&own)).await?;
    // What is lost is connected anew here, with its own deadline.
    listener.eager_reconnect(false);
    within(CONNECT, listener.listen(CHANNEL)).await?;
    // What changed before is not told.
    cache.doubt_everything();
    bell.ring_all();
    let heart = Heart::default();
    let hear = async {
        while let Some(notification) = listener.try_recv().await? {
            if let Ok(account) = notification.payload().parse() {
                cache.forget(account);
                bell.ring(account);
            } else if let Some(sent) = heart.is_back(notification.payload()) {
                // Notifications come in the order of commits.
                cache.heard_until(sent);
            }
        }
        Ok(())
    };
    tokio::select! {
        heard = hear => heard,
        silence = heart.beat(connections) => Err(silence),
    }
}

/// Proves that changes are told: a notification goes round, while the triggers
/// are there that tell of changes.
#[derive(Debug)]
struct Heart {
    /// Tells replicas and their connections apart.
    name: Uuid,
    last: Mutex<Beat>,
}

/// The last heartbeat, and the first one that is waited for.
#[derive(Debug)]
struct Beat {
    number: u64,
    sent: Instant,
    is_back: bool,
    /// When the first one was sent that none came back after.
    missing_since: Option<Instant>,
}

impl Default for Heart {
    fn default() -> Self {
        Self {
            name: Uuid::now_v7(),
            last: Mutex::new(Beat {
                number: 0,
                sent: Instant::now(),
                is_back: false,
                missing_since: None,
            }),
        }
    }
}

impl Heart {
    /// Sends a notification every while, until those that were sent stay away.
    async fn beat(&self, connections: &Connections) -> StoreError {
        loop {
            let number = {
                let mut last = self.last();
                last.number += 1;
                last.sent = Instant::now();
                last.is_back = false;
                last.number
            };
            match self.send(connections, number).await {
                Ok(true) => {
                    // It may be back already.
                    let mut last = self.last();
                    if last.number == number && !last.is_back {
                        last.missing_since.get_or_insert_with(Instant::now);
                    }
                }
                // The triggers are not there, so nothing was sent.
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "no heartbeat"),
            }
            tokio::time::sleep(HEARTBEAT).await;
            let silent = self.last().missing_since.map(|since| since.elapsed());
            if let Some(silent) = silent.filter(|silent| *silent >= SILENCE) {
                return StoreError::Late(silent);
            }
        }
    }

    /// Sends one; answers whether it was sent.
    async fn send(&self, connections: &Connections, number: u64) -> Result<bool, StoreError> {
        let mut held = connections.take(Queue::InTurn).await?;
        // The write changes nothing. A server that only reads refuses it, so it is
        // noticed within a heartbeat, and every connection to it is closed.
        let query = sqlx::query(
            "WITH proof AS (UPDATE vault.credential SET version = version WHERE false)
             SELECT pg_notify($1, $2)
             WHERE (SELECT count(*) FROM pg_trigger
                    WHERE tgrelid = 'vault.credential'::regclass
                      AND tgname IN ('credential_notify_insert', 'credential_notify_update')
                      AND tgenabled IN ('O', 'A')) = 2",
        )
        .bind(CHANNEL)
        .bind(self.payload(number));
        let sent = within(STATEMENT, query.execute(held.connection()?)).await;
        Ok(held.end(sent)?.rows_affected() > 0)
    }

    fn last(&self) -> MutexGuard<'_, Beat> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the last heartbeat was sent, if this is it.
    fn is_back(&self, payload: &str) -> Option<Instant> {
        let mut last = self.last();
        if payload != self.payload(last.number) {
            return None;
        }
        last.is_back = true;
        last.missing_since = None;
        Some(last.sent)
    }

    fn payload(&self, number: u64) -> String {
        format!("heartbeat {} {number}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_waits_for_the_account_is_woken_and_nothing_is_left_behind() {
        let bell = Bell::default();
        let (one, other) = (AccountId::generate(), AccountId::generate());
        let (mut ear, mut deaf) = (bell.listen(one), bell.listen(other));
        // A ring between two waits is not lost.
        bell.ring(one);
        let begun = tokio::time::Instant::now();
        ear.rung(Duration::from_mins(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(1));
        deaf.rung(Duration::from_mins(1)).await;
        assert!(begun.elapsed() >= Duration::from_mins(1));
        drop((ear, deaf));
        assert!(bell.ropes().is_empty());
    }
}
