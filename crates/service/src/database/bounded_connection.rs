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
    is_beginning: bool,
    is_tested: bool,
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
            is_beginning: false,
            is_tested: true,
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.is_beginning = true;
        let begun = (*self.connection).begin().await;
        self.is_beginning = false;
        begun
    }

    /// Returns the connection without the test of the pool, because its last statement has just
    /// proved more: a commit, or a lock on rows, which a read-only server refuses.
    pub fn return_untested(mut self) {
        self.is_tested = false;
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
        if self.is_beginning {
            // This drops the connection itself, without a message to the server.
            drop(self.connection.return_to_pool());
        } else {
            return_in_time(&mut self.connection, self.is_tested);
        }
    }
}

/// Returns a connection to the pool without the test of the pool, because whoever takes it tests it.
pub fn return_untested(mut connection: PoolConnection<Postgres>) {
    return_in_time(&mut connection, false);
}

/// Within the limit, the pool waits until a statement that the user has left has ended.
fn return_in_time(connection: &mut PoolConnection<Postgres>, is_tested: bool) {
    let returning = connection.return_to_pool();
    tokio::spawn(async move {
        let returned = if is_tested {
            timeout(RETURN_TIMEOUT, returning).await
        } else {
            let returned = timeout(RETURN_TIMEOUT, without_tests(returning)).await;
            returned.map(drop)
        };
        if returned.is_err() {
            tracing::warn!("a connection is closed: the database did not answer at its return");
        }
    });
}
