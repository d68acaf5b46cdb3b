//! Listens for `NOTIFY latchkey_credential_change`, which PostgreSQL sends when a
//! credential changes in any replica: invalidates the cache and notifies the listeners of
//! the account. The payload is the account and the number of the change.

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
use crate::store::{Connections, Priority, STATEMENT, StoreError, within};

const CHANNEL: &str = "latchkey_credential_change";

/// Interval of heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// If sent heartbeats do not arrive for this long, the connection is considered dead.
const SILENCE: Duration = Duration::from_secs(3);

/// Deadline for connecting and for `LISTEN`.
const CONNECT: Duration = Duration::from_secs(5);

/// Interval of attempts to reconnect.
const RETRY: Duration = Duration::from_secs(1);

/// Notifies the listeners of one account of its changes. Listeners are kept by account:
/// otherwise a thousand accounts that refresh at once would each wake a thousand
/// waiters.
#[derive(Debug, Clone, Default)]
pub struct ChangeNotifier(Arc<Mutex<HashMap<AccountId, watch::Sender<()>>>>);

/// Waits for changes of one account.
#[derive(Debug)]
pub struct ChangeListener {
    notifier: ChangeNotifier,
    account: AccountId,
    received: watch::Receiver<()>,
}

impl ChangeNotifier {
    /// Creates a listener of an account.
    pub fn listen(&self, account: AccountId) -> ChangeListener {
        let mut listeners = self.listeners();
        let sender = listeners
            .entry(account)
            .or_insert_with(|| watch::channel(()).0);
        ChangeListener {
            notifier: self.clone(),
            account,
            received: sender.subscribe(),
        }
    }

    /// Notifies the listeners of an account.
    pub fn notify(&self, account: AccountId) {
        if let Some(sender) = self.listeners().get(&account) {
            sender.send_replace(());
        }
    }

    /// Notifies all listeners after notifications were missed.
    pub fn notify_all(&self) {
        for sender in self.listeners().values() {
            sender.send_replace(());
        }
    }

    fn listeners(&self) -> MutexGuard<'_, HashMap<AccountId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChangeListener {
    /// Waits until the account changes or has changed since the last call, but at most
    /// for `at_most`.
    pub async fn changed(&mut self, at_most: Duration) {
        // Both a change and the time-out only cause another read.
        let _ = tokio::time::timeout(at_most, self.received.changed()).await;
    }
}

impl Drop for ChangeListener {
    fn drop(&mut self) {
        let mut listeners = self.notifier.listeners();
        // The last listener removes the channel.
        if listeners
            .get(&self.account)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            listeners.remove(&self.account);
        }
    }
}

/// Listens until `stop` is cancelled and reconnects after failures.
pub async fn run(
    connections: Connections,
    cache: Arc<Cache>,
    notifier: ChangeNotifier,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let listened = tokio::select! {
            () = stop.cancelled() => return,
            listened = listen(&connections, &cache, &notifier) => listened,
        };
        match listened {
            Ok(()) => tracing::warn!("the connection for change notifications ended"),
            Err(error) => tracing::warn!(%error, "cannot listen for change notifications"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Listens until the connection is lost or heartbeats do not arrive.
async fn listen(
    connections: &Connections,
    cache: &Cache,
    notifier: &ChangeNotifier,
) -> Result<(), StoreError> {
    // A separate connection: if it dies silently, the pool is not affected.
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(connections.options());
    let mut listener = within(CONNECT, PgListener::connect_with(&own)).await?;
    // A lost connection is replaced by `run`, with its own deadline.
    listener.eager_reconnect(false);
    within(CONNECT, listener.listen(CHANNEL)).await?;
    // Changes before `LISTEN` caused no notification here.
    cache.distrust_all();
    notifier.notify_all();
    let heartbeat = Heartbeat::default();
    let receive = async {
        while let Some(notification) = listener.try_recv().await? {
            let payload = notification.payload();
            if let Some((account, number)) = parse_change(payload) {
                cache.invalidate(account, number);
                notifier.notify(account);
            } else if let Some(sent) = heartbeat.received(payload) {
                // Notifications arrive in the order of commits.
                cache.notified_until(sent);
            }
        }
        Ok(())
    };
    tokio::select! {
        received = receive => received,
        silence = heartbeat.send_repeatedly(connections) => Err(silence),
    }
}

/// Parses the payload `<account id> <number>`. Returns `None` for a heartbeat.
fn parse_change(payload: &str) -> Option<(AccountId, i64)> {
    let (account, number) = payload.split_once(' ')?;
    Some((account.parse().ok()?, number.parse().ok()?))
}

/// Proves that notifications of changes arrive: sends one to itself, but only while the
/// triggers exist that send the others.
#[derive(Debug)]
struct Heartbeat {
    /// Distinguishes the heartbeats of replicas and connections.
    name: Uuid,
    last: Mutex<SentHeartbeat>,
}

/// The last heartbeat, and since when heartbeats have been missing.
#[derive(Debug)]
struct SentHeartbeat {
    number: u64,
    sent: Instant,
    received: bool,
    /// When the first of the missing heartbeats was sent.
    missing_since: Option<Instant>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            name: Uuid::now_v7(),
            last: Mutex::new(SentHeartbeat {
                number: 0,
                sent: Instant::now(),
                received: false,
                missing_since: None,
            }),
        }
    }
}

impl Heartbeat {
    /// Sends heartbeats until those that were sent do not arrive for [`SILENCE`].
    async fn send_repeatedly(&self, connections: &Connections) -> StoreError {
        loop {
            let number = {
                let mut last = self.last();
                last.number += 1;
                last.sent = Instant::now();
                last.received = false;
                last.number
            };
            match self.send(connections, number).await {
                Ok(true) => {
                    // It may have arrived already.
                    let mut last = self.last();
                    if last.number == number && !last.received {
                        last.missing_since.get_or_insert_with(Instant::now);
                    }
                }
                // Nothing was sent, because the triggers do not exist.
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

    /// Sends one heartbeat. Returns `false` if it was not sent.
    async fn send(&self, connections: &Connections, number: u64) -> Result<bool, StoreError> {
        let mut held = connections.acquire(Priority::Fair).await?;
        // The update changes no row. A read-only server refuses it, so that it is
        // noticed within one heartbeat and all connections to it are closed.
        let query = sqlx::query(
            "WITH proof AS (UPDATE vault.credential SET version = version WHERE false)
             SELECT pg_notify($1, $2)
             WHERE (SELECT count(*) FROM pg_trigger
                    WHERE tgrelid = 'vault.credential'::regclass
                      AND tgname IN ('credential_notify_insert', 'credential_notify_update',
                                     'credential_number')
                      AND tgenabled IN ('O', 'A')) = 3",
        )
        .bind(CHANNEL)
        .bind(self.payload(number));
        let sent = within(STATEMENT, query.execute(held.connection()?)).await;
        Ok(held.finish(sent)?.rows_affected() > 0)
    }

    fn last(&self) -> MutexGuard<'_, SentHeartbeat> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the last heartbeat was sent, if the payload belongs to it.
    fn received(&self, payload: &str) -> Option<Instant> {
        let mut last = self.last();
        if payload != self.payload(last.number) {
            return None;
        }
        last.received = true;
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
    async fn only_listeners_of_the_account_are_notified_and_no_entry_remains() {
        let notifier = ChangeNotifier::default();
        let (one, other) = (AccountId::generate(), AccountId::generate());
        let (mut listener, mut other_listener) = (notifier.listen(one), notifier.listen(other));
        // A change between two calls of `changed` is not lost.
        notifier.notify(one);
        let begun = tokio::time::Instant::now();
        listener.changed(Duration::from_mins(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(1));
        other_listener.changed(Duration::from_mins(1)).await;
        assert!(begun.elapsed() >= Duration::from_mins(1));
        drop((listener, other_listener));
        assert!(notifier.listeners().is_empty());
    }
}
