//! Connections to the database, none of which is waited for without an end.
//!
//! A database may go away without a word: packets are swallowed, and a statement
//! on an old connection never returns, while a new connection works. After a
//! fail-over an old connection may still lead to a server that only reads. So
//! every wait has a deadline, and a connection that missed one, or that leads to
//! a server which no longer serves, is closed and never used again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use latchkey_service::database::{JUST_NOW, untested};
use latchkey_service::health::Check;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::StoreError;

/// Of the pool's connections, those that reads and leases may take: what came of
/// a refresh never waits behind them.
const FAIR_SHARE: (u32, u32) = (5, 8);

/// A fair_permit is waited for at most this long: a crowd has passed by then, and callers
/// have deadlines of their own.
const FAIR_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection is waited for at most this long.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was not used a moment ago is tested before it is given, and
/// is closed if that takes longer than this.
const TEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A statement about one account.
pub(crate) const STATEMENT: Duration = Duration::from_secs(3);
/// A statement about many rows, for work behind the callers' backs.
pub(crate) const LONG_STATEMENT: Duration = Duration::from_secs(30);
/// A connection that goes back to the pool is tested for at most this long.
const RETURN_TIMEOUT: Duration = Duration::from_secs(2);

/// A database that gave a connection within this time is not down.
const RECENT: Duration = Duration::from_secs(5);

/// Who may take the last connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Reads and leases: they take fair_permits.
    Fair,
    /// What came of a refresh, and work behind the callers' backs.
    Immediate,
}

/// The connections of this process.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: PgPool,
    /// A crowd queues here and not at the pool, whose time-out then tells only of
    /// a database that does not answer.
    fair_permits: Arc<Semaphore>,
    observations: Arc<Mutex<Observations>>,
    #[cfg(test)]
    faults: Arc<super::Faults>,
}

/// When the database was observations to do something, last.
#[derive(Debug, Clone, Copy, Default)]
struct Observations {
    answered: Option<Instant>,
    failed: Option<Instant>,
    /// When every connection of that time was given up. One that was in use then
    /// is closed when its use ends.
    abandoned: Option<Instant>,
}

impl Connections {
    /// Connections as the pool is set to make them.
    pub(crate) fn new(pool: &PgPool) -> Self {
        let pool = pool.clone();
        let (share, of) = FAIR_SHARE;
        let fair_permits = (pool.options().get_max_connections() * share / of).max(1);
        Self {
            pool,
            fair_permits: Arc::new(Semaphore::new(usize::try_from(fair_permits).unwrap_or(1))),
            observations: Arc::default(),
            #[cfg(test)]
            faults: Arc::default(),
        }
    }

    /// What is to happen to the next statement.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> Arc<super::Faults> {
        Arc::clone(&self.faults)
    }

    /// The pool, for what brings its own statements.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How to connect, for a connection that is not of the pool.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.pool.connect_options().as_ref().clone()
    }

    /// Waits for a fair_permit, where one is needed, and for a connection.
    ///
    /// # Errors
    /// The database gave no connection in time.
    pub(crate) async fn acquire(&self, priority: Priority) -> Result<HeldConnection, StoreError> {
        #[cfg(test)]
        self.faults.before().await?;
        let queued_at = Instant::now();
        let fair_permit = match priority {
            Priority::Fair => {
                let fair_permit =
                    timeout(FAIR_TIMEOUT, Arc::clone(&self.fair_permits).acquire_owned()).await;
                fair_permit
                    .map_err(|_| StoreError::Late(FAIR_TIMEOUT))?
                    .ok()
            }
            Priority::Immediate => None,
        };
        loop {
            // If the call that was ahead of this one waited in vain, this one has
            // waited enough as well.
            let failed_at = self.observations().failed;
            if priority == Priority::Fair && failed_at.is_some_and(|at| at > queued_at) {
                return Err(StoreError::Late(queued_at.elapsed()));
            }
            // The pool would test an idle connection while it acquires it, and then
            // nobody could tell a test that hangs from a new connection that takes
            // its time.
            let (acquired, idle_for) =
                untested(timeout(ACQUIRE_TIMEOUT, self.pool.acquire())).await;
            match acquired {
                Ok(Ok(mut connection)) => {
                    let test = async {
                        match idle_for {
                            Some(idle_for) if idle_for >= JUST_NOW => connection.ping().await,
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
                        // It was closed by the other side: the next one is tried.
                        Ok(Err(_)) => drop(connection.detach()),
                        // It is dead in silence, and so are those beside it.
                        Err(_) => {
                            drop(connection.detach());
                            self.abandon();
                        }
                    }
                }
                // A crowd, not an outage: the database answers others.
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

    /// Gives up every connection: they lead where one resolved that turned out to be
    /// useless.
    fn abandon(&self) {
        self.observations().abandoned = Some(Instant::now());
        for _ in 0..self.pool.num_idle() {
            match self.pool.try_acquire() {
                Some(connection) => drop(connection.detach()),
                None => return,
            }
        }
    }

    /// Returns `true` if the database answered somebody a moment ago.
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

/// A connection that is in use.
#[derive(Debug)]
pub(crate) struct HeldConnection {
    connection: Option<PoolConnection<Postgres>>,
    connections: Connections,
    taken_at: Instant,
    _fair_permit: Option<OwnedSemaphorePermit>,
}

impl HeldConnection {
    /// The connection.
    ///
    /// # Errors
    /// None while it is held.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        match &mut self.connection {
            Some(connection) => Ok(&mut *connection),
            None => Err(sqlx::Error::PoolClosed.into()),
        }
    }

    /// Ends the use with what was answered: the connection goes back to the pool,
    /// or is closed if it is of no more use.
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
            // Without a farewell: it might not be heard.
            drop(connection.detach());
        }
    }
}

impl Drop for HeldConnection {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // A caller may have left in the middle of a statement, and the pool waits
            // until that has ended.
            tokio::spawn(timeout(
                RETURN_TIMEOUT,
                untested(connection.return_to_pool()),
            ));
        }
    }
}

/// What an error says about the connection that it came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    /// The statement failed, the connection is good.
    Usable,
    /// The connection is of no more use.
    Broken,
    /// Its server no longer serves, and so do all connections to it.
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
        let sqlx::Error::Database(error) = error else {
            return match error {
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
/// It failed, or did not come in time.
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

/// Ready while the service can do what it serves with: take a fair_permit and a
/// connection, and write its own table.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseServes(pub(crate) Connections);

#[async_trait]
impl Check for DatabaseServes {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), String> {
        match self.0.prove_writable().await {
            Ok(0) => Err("nothing was written".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Connections {
    /// Takes a fair_permit and commits a write, as serving does: a standby, a schema that
    /// is not migrated and a commit that hangs still answer reads.
    ///
    /// # Errors
    /// The database does not answer, or does not take writes.
    pub(crate) async fn prove_writable(&self) -> Result<u64, StoreError> {
        let mut held = self.acquire(Priority::Fair).await?;
        let write = sqlx::query("UPDATE vault.readiness SET written_at = clock_timestamp()")
            .execute(held.connection()?);
        let answer = within(STATEMENT, write).await;
        held.finish(answer).map(|written| written.rows_affected())
    }
}
