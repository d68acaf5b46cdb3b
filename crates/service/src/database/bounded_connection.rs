//! The return of a connection to its pool, within a time limit.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::connection_checks::without_tests;

/// Deadline of the return of a connection.
const RETURN_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection of a pool whose return has a deadline in every case. That of a [`PoolConnection`] has
/// none for the last round trip, which sqlx makes after the test of the pool: if the answer is lost,
/// the pool has one connection less until the system's TCP gives up, and a pool of one connection has
/// none.
#[derive(Debug)]
pub struct BoundedConnection {
    connection: PoolConnection<Postgres>,
    has_proved: bool,
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
            has_proved: false,
        })
    }

    /// Returns the connection without the test of the pool, because a commit has just proved more.
    pub fn return_untested(mut self) {
        self.has_proved = true;
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
        return_in_time(&mut self.connection, !self.has_proved);
    }
}

/// Returns a connection to the pool without the test of the pool, because whoever takes it tests it.
pub fn return_untested(mut connection: PoolConnection<Postgres>) {
    return_in_time(&mut connection, false);
}

/// The pool waits until a statement that the user of the connection has left has ended.
fn return_in_time(connection: &mut PoolConnection<Postgres>, is_tested: bool) {
    let returning = connection.return_to_pool();
    if is_tested {
        tokio::spawn(timeout(RETURN_TIMEOUT, returning));
    } else {
        tokio::spawn(timeout(RETURN_TIMEOUT, without_tests(returning)));
    }
}
