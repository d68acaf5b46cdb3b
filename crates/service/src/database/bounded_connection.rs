//! A connection that returns to its pool within a time limit, and never with an open transaction.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::time::timeout;

use super::connection_checks::without_tests;

/// Deadline of the return of a connection.
const RETURN_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection of a pool that differs from a [`PoolConnection`] in two ways.
///
/// Its return has a deadline. Otherwise the last round trip has none, which sqlx makes after the test
/// of the pool: if the answer is lost, the pool has one connection less until the system's TCP gives
/// up, and a pool of one connection has none.
///
/// It is closed if its user leaves while a transaction begins. sqlx notes a transaction when `BEGIN`
/// is answered, and would return the connection without a rollback: what the next user writes
/// without a transaction of its own would be lost.
#[derive(Debug)]
pub struct BoundedConnection {
    connection: PoolConnection<Postgres>,
    at_end: AtEnd,
}

/// What happens to a connection when its use ends.
#[derive(Debug, Clone, Copy)]
enum AtEnd {
    /// The pool tests it.
    Test,
    /// It returns to the pool without a test.
    Return,
    /// It is closed, without a message to the server, which might hang.
    Close,
}

impl BoundedConnection {
    /// Acquires a connection.
    ///
    /// # Errors
    /// The pool has none within its time limit, or cannot connect.
    pub async fn acquire(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let connection = pool.acquire().await?;
        Ok(Self {
            connection,
            at_end: AtEnd::Test,
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.at_end = AtEnd::Close;
        let begun = (*self.connection).begin().await;
        self.at_end = AtEnd::Test;
        begun
    }

    /// Returns the connection without the test of the pool: its last statement has just proved more
    /// (a commit, or a lock on rows, which a read-only server refuses), or whoever takes it tests it.
    /// It is closed all the same if its user left while a transaction began.
    pub fn return_untested(mut self) {
        if matches!(self.at_end, AtEnd::Test) {
            self.at_end = AtEnd::Return;
        }
    }

    /// Closes the connection.
    pub fn close(mut self) {
        self.at_end = AtEnd::Close;
    }
}

impl Deref for BoundedConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for BoundedConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for BoundedConnection {
    fn drop(&mut self) {
        // Within the limit, the pool waits until a statement that the user has left has ended. If the
        // future is dropped instead, the connection is closed.
        let returning = self.connection.return_to_pool();
        match self.at_end {
            AtEnd::Test => drop(tokio::spawn(within_limit(returning))),
            AtEnd::Return => drop(tokio::spawn(within_limit(without_tests(returning)))),
            AtEnd::Close => drop(returning),
        }
    }
}

async fn within_limit<T>(returning: impl Future<Output = T>) {
    if timeout(RETURN_TIMEOUT, returning).await.is_err() {
        tracing::warn!("a connection is closed: the database did not answer at its return");
    }
}
