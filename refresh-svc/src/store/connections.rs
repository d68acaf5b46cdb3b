//! Database connections. Every wait for the database has a deadline.
//!
//! A connection may be lost silently: packets are dropped, and a statement on it never
//! returns, while a new connection works. After a fail-over, an old connection may still
//! lead to a read-only server. So a connection that missed a deadline, or that leads to
//! a server which no longer serves, is closed and never used again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use latchkey_messaging::outbox::OutboxWaker;
use latchkey_service::database::{BoundedConnection, RECENTLY_TESTED, without_tests};
use latchkey_service::health::Check;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::error::StoreError;
#[cfg(test)]
use super::faults::Faults;
use crate::metrics;

/// Share of the pool that reads and leases may use, so that storing a refresh never
/// waits for them.
const FAIR_SHARE: (u32, u32) = (5, 8);

/// Deadline of a fair permit. A burst of calls is over by then, and callers have
/// deadlines of their own.
const FAIR_TIMEOUT: Duration = Duration::from_secs(30);
/// Deadline of a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle is tested before use, and closed if the test takes longer
/// than this.
const TEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Deadline of a statement about one account.
pub(crate) const STATEMENT: Duration = Duration::from_secs(3);
/// Deadline of a background statement about many rows.
pub(crate) const LONG_STATEMENT: Duration = Duration::from_secs(30);
/// Deadline of a statement of a command that reads all credentials.
pub(crate) const WHOLE_TABLE: Duration = Duration::from_mins(30);

/// A database that answered within this time is not down.
const RECENT: Duration = Duration::from_secs(5);

/// Who may use the last connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Reads and leases: limited to their share of the pool.
    Fair,
    /// Storing of refreshes, and background work.
    Immediate,
}

/// The connections of this process.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: PgPool,
    /// A burst of calls queues here and not at the pool, so that a time-out of the pool
    /// means that the database does not answer.
    fair_permits: Arc<Semaphore>,
    observations: Arc<Mutex<Observations>>,
    outbox: OutboxWaker,
    #[cfg(test)]
    faults: Arc<Faults>,
}

/// When the database last answered and last failed.
#[derive(Debug, Clone, Copy, Default)]
struct Observations {
    answered: Option<Instant>,
    failed: Option<Instant>,
    /// When all connections of that time were abandoned. One that was in use then is
    /// closed after its use.
    abandoned: Option<Instant>,
}

impl Connections {
    /// Connections from a pool with its settings.
    pub(crate) fn new(pool: &PgPool) -> Self {
        let pool = pool.clone();
        let (share, of) = FAIR_SHARE;
        let fair_permits = (pool.options().get_max_connections() * share / of).max(1);
        Self {
            pool,
            fair_permits: Arc::new(Semaphore::new(usize::try_from(fair_permits).unwrap_or(1))),
            observations: Arc::default(),
            outbox: OutboxWaker::default(),
            #[cfg(test)]
            faults: Arc::default(),
        }
    }

    /// Number of reads and leases that get a connection at once.
    #[cfg(test)]
    pub(crate) fn fair_permits_left(&self) -> usize {
        self.fair_permits.available_permits()
    }

    /// Faults of the next statement.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }

    /// The pool, for code with its own statements.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Wakes the relay, after the commit of an event.
    pub(crate) fn outbox(&self) -> &OutboxWaker {
        &self.outbox
    }

    /// Options for a connection outside of the pool.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.pool.connect_options().as_ref().clone()
    }

    /// Waits for a fair permit if needed, and for a connection.
    ///
    /// # Errors
    /// Returned if the database gives no connection in time.
    pub(crate) async fn acquire(&self, priority: Priority) -> Result<HeldConnection, StoreError> {
        #[cfg(test)]
        self.faults.before().await?;
        let queued_at = Instant::now();
        let fair_permit = match priority {
            Priority::Fair => {
                let fair_permit =
                    timeout(FAIR_TIMEOUT, Arc::clone(&self.fair_permits).acquire_owned()).await;
                metrics::turn().record(queued_at.elapsed());
                fair_permit
                    .map_err(|_| StoreError::Late(FAIR_TIMEOUT))?
                    .ok()
            }
            Priority::Immediate => None,
        };
        loop {
            // If a call ahead of this one timed out, this one times out too.
            let failed_at = self.observations().failed;
            if priority == Priority::Fair && failed_at.is_some_and(|at| at > queued_at) {
                return Err(StoreError::Late(queued_at.elapsed()));
            }
            // The pool would test an idle connection while acquiring it; then a hanging
            // test could not be distinguished from a slow new connection.
            // Boxed, because the future has some kilobytes, and every layer around it copies them.
            let acquire = Box::pin(BoundedConnection::acquire(&self.pool));
            let (acquired, idle_for) = without_tests(timeout(ACQUIRE_TIMEOUT, acquire)).await;
            match acquired {
                Ok(Ok(mut connection)) => {
                    let test = async {
                        match idle_for {
                            Some(idle_for) if idle_for >= RECENTLY_TESTED => {
                                connection.ping().await
                            }
                            _ => Ok(()),
                        }
                    };
                    match timeout(TEST_TIMEOUT, test).await {
                        Ok(Ok(())) => {
                            let taken_at = Instant::now();
                            self.observations().answered = Some(taken_at);
                            return Ok(HeldConnection {
                                connection: Some(connection),
                                connections: self.clone(),
                                taken_at,
                                _fair_permit: fair_permit,
                            });
                        }
                        // The other side has closed it: the next one is tried.
                        Ok(Err(_)) => connection.close(),
                        // It was lost silently, and so were the other ones.
                        Err(_) => {
                            connection.close();
                            self.abandon();
                        }
                    }
                }
                // A burst of calls, not an outage: the database answers other calls.
                Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) if self.answered_recently() => {}
                Err(_) => {
                    self.observations().failed = Some(Instant::now());
                    return Err(StoreError::Late(queued_at.elapsed()));
                }
                Ok(Err(error)) => {
                    self.observations().failed = Some(Instant::now());
                    return Err(error.into());
                }
            }
            if queued_at.elapsed() > FAIR_TIMEOUT {
                return Err(StoreError::Late(queued_at.elapsed()));
            }
        }
    }

    /// Abandons all connections, because they lead to the same server as one that proved
    /// unusable.
    fn abandon(&self) {
        self.observations().abandoned = Some(Instant::now());
        for _ in 0..self.pool.num_idle() {
            match self.pool.try_acquire() {
                Some(connection) => drop(connection.detach()),
                None => return,
            }
        }
    }

    /// Returns `true` if the database answered within [`RECENT`].
    fn answered_recently(&self) -> bool {
        let answered_at = self.observations().answered;
        answered_at.is_some_and(|at| at.elapsed() < RECENT)
    }

    fn observations(&self) -> MutexGuard<'_, Observations> {
        self.observations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct HeldConnection {
    connection: Option<BoundedConnection>,
    connections: Connections,
    taken_at: Instant,
    _fair_permit: Option<OwnedSemaphorePermit>,
}

impl HeldConnection {
    /// The connection.
    ///
    /// # Errors
    /// Never while it is held.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        match &mut self.connection {
            Some(connection) => Ok(&mut *connection),
            None => Err(sqlx::Error::PoolClosed.into()),
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        match &mut self.connection {
            Some(connection) => connection.begin().await,
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    /// Ends the use with the answer. The connection returns to the pool, or is closed if
    /// it is unusable.
    pub(crate) fn finish<T>(mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        #[cfg(test)]
        let answer = self.connections.faults.after(answer);
        match &answer {
            Ok(_) => self.connections.observations().answered = Some(Instant::now()),
            Err(error) => match ConnectionState::after(error) {
                ConnectionState::Usable => {}
                ConnectionState::Broken => self.close(),
                ConnectionState::WrongServer => {
                    self.close();
                    self.connections.abandon();
                }
            },
        }
        let abandoned_at = self.connections.observations().abandoned;
        if abandoned_at.is_some_and(|at| at >= self.taken_at) {
            self.close();
        }
        answer
    }

    fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }
}

impl Drop for HeldConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.return_untested();
        }
    }
}

/// What an error says about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    /// The statement failed; the connection is usable.
    Usable,
    /// The connection is unusable.
    Broken,
    /// The server no longer serves, so all connections to it are unusable.
    WrongServer,
}

impl ConnectionState {
    fn after(error: &StoreError) -> Self {
        let StoreError::Database(error) = error else {
            return match error {
                StoreError::Late(_) => Self::Broken,
                _ => Self::Usable,
            };
        };
        let sqlx::Error::Database(error) = &**error else {
            return match &**error {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => Self::Broken,
                _ => Self::Usable,
            };
        };
        match error.code().as_deref() {
            // read_only_sql_transaction; admin_shutdown, crash_shutdown,
            // cannot_connect_now.
            Some("25006" | "57P01" | "57P02" | "57P03") => Self::WrongServer,
            _ => Self::Usable,
        }
    }
}

/// Waits for an answer of the database until a deadline.
///
/// # Errors
/// Returned if the answer is an error or does not arrive in time.
pub(crate) async fn within<T, E>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError>
where
    StoreError: From<E>,
{
    match timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Late(limit)),
    }
}

/// Readiness check: acquires a connection and writes to the service's table.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseServes(pub(crate) Connections);

#[async_trait]
impl Check for DatabaseServes {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), String> {
        match self.0.prove_writable().await {
            Ok(0) => Err("the write changed no row".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Connections {
    /// Acquires a fair connection and commits a write, as serving does. A standby, a
    /// schema that is not migrated and a hanging commit would still answer reads.
    ///
    /// # Errors
    /// Returned if the database does not answer or does not accept writes.
    pub(crate) async fn prove_writable(&self) -> Result<u64, StoreError> {
        let mut held = self.acquire(Priority::Fair).await?;
        let write = sqlx::query("UPDATE vault.readiness SET written_at = clock_timestamp()")
            .execute(held.connection()?);
        let answer = within(STATEMENT, write).await;
        held.finish(answer).map(|written| written.rows_affected())
    }
}
