//! NOTIFY `latchkey_credential`: a credential changed, in this replica or
//! another. Wakes who waits and drops what is cached.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;

const CHANNEL: &str = "latchkey_credential";

/// Changes that a slow waiter may fall behind before it just looks.
const BACKLOG: usize = 1024;

/// Between two tries to listen.
const RETRY: Duration = Duration::from_secs(1);

/// Rings for every credential that changes.
#[derive(Debug, Clone)]
pub struct Bell(broadcast::Sender<AccountId>);

impl Default for Bell {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

/// Hears the bell.
#[derive(Debug)]
pub struct Ear(broadcast::Receiver<AccountId>);

impl Bell {
    /// Begins to listen.
    pub fn listen(&self) -> Ear {
        Ear(self.0.subscribe())
    }

    /// Rings for an account.
    pub fn ring(&self, account: AccountId) {
        // Nobody waits: nobody to wake.
        let _ = self.0.send(account);
    }
}

impl Ear {
    /// Waits until the account changes, `at_most` where no notification comes.
    pub async fn rung(&mut self, account: AccountId, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        loop {
            match tokio::time::timeout_at(deadline, self.0.recv()).await {
                Ok(Ok(changed)) if changed != account => {}
                // Fell behind: the account may have been among what was missed.
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Listens until `stop`, whatever the database does.
pub async fn run(pool: PgPool, cache: Arc<Cache>, bell: Bell, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let listened = tokio::select! {
            () = stop.cancelled() => return,
            listened = listen(&pool, &cache, &bell) => listened,
        };
        if let Err(error) = listened {
            tracing::warn!(%error, "not listening for changes of credentials");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Listens until the connection is lost.
async fn listen(pool: &PgPool, cache: &Cache, bell: &Bell) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // What changed before is not told.
    cache.doubt_everything();
    while let Some(notification) = listener.try_recv().await? {
        if let Ok(account) = notification.payload().parse() {
            cache.forget(account).await;
            bell.ring(account);
        }
    }
    Ok(())
}
