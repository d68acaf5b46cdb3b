//! `vault.credential`: sealed grants, the lease of a refresh, and what came of
//! it. Every write that depends on what was read says so in its `WHERE`.

mod credential;
mod erase;
mod facts;
mod find;
mod keys;
mod lease;
mod outcome;
mod sibling;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_domain::AccountId;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

pub use credential::{Credential, Failure};
pub use erase::Erased;
pub use facts::Facts;
pub use find::Found;
pub use keys::{LostGrant, Resealed, SealedTokens};
pub use lease::Lease;
pub use outcome::{FailureRecord, NewTokens};

/// The columns that make a [`Credential`]. Lengths of time are reckoned by the
/// database: its clock, not ours, rules leases and pauses.
macro_rules! columns {
    () => {
        "account_id, workspace_id, user_id, provider, issuer, subject,
         sealed_access_token, access_token_expires_at, sealed_refresh_token,
         granted_scopes, authenticated_at, last_refreshed_at, version,
         failure_class, failure_count,
         GREATEST(extract(epoch FROM retry_after - clock_timestamp())::float8, 0) AS retry_in,
         auth_failed_at, erased_at, revoked_at_provider,
         GREATEST(extract(epoch FROM lease_until - clock_timestamp())::float8, 0) AS lease_left,
         CASE WHEN intent_version = version THEN intent_count ELSE 0 END AS attempts"
    };
}
pub(crate) use columns;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer or refuses.
    #[error("the database does not answer: {0}")]
    Database(#[from] sqlx::Error),
    /// A row that cannot be read.
    #[error("the stored grant of account {account} is not readable: {problem}")]
    Unreadable {
        /// Whose.
        account: AccountId,
        /// Which part.
        problem: String,
    },
}

/// Of the pool's connections, those that reads and leases may take: what came of
/// a refresh never waits behind them.
const SHARE_OF_TURNS: (u32, u32) = (5, 8);

/// A database that gave a connection within this time is not down.
const LATELY: Duration = Duration::from_secs(5);

/// The credentials.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    /// A crowd queues here and not at the pool, whose time-out then tells only of
    /// a database that does not answer.
    turns: Arc<Semaphore>,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen of the database lately.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    answered_at: Option<Instant>,
    failed_at: Option<Instant>,
}

/// A connection in turn.
struct Turn<'a> {
    connection: PoolConnection<Postgres>,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Store {
    /// A store on a pool of refresh-svc's role.
    pub fn new(pool: PgPool) -> Self {
        let (share, of) = SHARE_OF_TURNS;
        let turns = (pool.options().get_max_connections() * share / of).max(1);
        Self {
            pool,
            turns: Arc::new(Semaphore::new(usize::try_from(turns).unwrap_or(1))),
            seen: Arc::default(),
        }
    }

    /// Waits for a turn and a connection.
    async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let queued_at = Instant::now();
        let turn = self.turns.acquire().await.ok();
        loop {
            let before = *self.locked();
            // Who stood behind one that waited in vain has waited enough.
            if before.failed_at.is_some_and(|at| at > queued_at) {
                return Err(sqlx::Error::PoolTimedOut.into());
            }
            match self.pool.acquire().await {
                Ok(connection) => {
                    self.answered();
                    return Ok(Turn {
                        connection,
                        _turn: turn,
                    });
                }
                // A crowd, not an outage: it answers others.
                Err(sqlx::Error::PoolTimedOut) if self.lately() => {}
                Err(error) => {
                    self.locked().failed_at = Some(Instant::now());
                    return Err(error.into());
                }
            }
        }
    }

    fn lately(&self) -> bool {
        let answered_at = self.locked().answered_at;
        answered_at.is_some_and(|at| at.elapsed() < LATELY)
    }

    /// The database works.
    fn answered(&self) {
        self.locked().answered_at = Some(Instant::now());
    }

    fn locked(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one credential.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn read(&self, account: AccountId) -> Result<Option<Credential>, StoreError> {
        let query = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM vault.credential WHERE account_id = $1"
        ))
        .bind(account.as_uuid());
        let mut turn = self.turn().await?;
        query
            .fetch_optional(&mut *turn.connection)
            .await?
            .map(credential::Row::into_credential)
            .transpose()
    }

    /// Reads credentials in the order of their accounts, those behind `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn page(
        &self,
        after: Option<AccountId>,
        limit: i64,
    ) -> Result<Vec<Credential>, StoreError> {
        let rows: Vec<credential::Row> = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM vault.credential
             WHERE $1::uuid IS NULL OR account_id > $1
             ORDER BY account_id LIMIT $2"
        ))
        .bind(after.map(|account| account.as_uuid()))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(credential::Row::into_credential)
            .collect()
    }
}

/// Seconds for an SQL interval.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
