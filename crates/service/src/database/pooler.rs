//! Detects a connection pooler in transaction mode, which gives each transaction another session.

use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::{NAME, options};

/// Time limit of each statement.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two attempts, while the database is not available.
const AGAIN: Duration = Duration::from_secs(2);

/// How often the two connections change roles: a pooler that rotates its sessions may give the same
/// session by chance.
const ROUNDS: usize = 4;

/// Returns an error if `DATABASE_URL` leads to a pooler in transaction mode; else never returns.
/// Prepared statements, time limits and notifications belong to a session, which such a pooler
/// changes.
pub async fn refuse_transaction_pooling(environment: &Environment) -> ConfigError {
    let Ok(options) = options(environment) else {
        // The service reports the wrong configuration itself.
        return std::future::pending().await;
    };
    let options = options.application_name("latchkey-start");
    loop {
        match tokio::time::timeout(PATIENCE * 4, is_pooled_by_transaction(&options)).await {
            Ok(Ok(true)) => {
                return ConfigError::new(
                    NAME,
                    "leads to a pooler in transaction mode (pgbouncer pool_mode=transaction or \
                     statement), which mixes sessions up: use pool_mode=session there, or a \
                     direct URL of PostgreSQL",
                );
            }
            Ok(Ok(false)) => std::future::pending().await,
            Ok(Err(error)) => tracing::debug!(%error, "the kind of pooling is not known yet"),
            Err(_) => tracing::debug!("the kind of pooling is not known yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Returns `true` if a connection gets another session than before while the other connection is
/// in a transaction.
///
/// # Errors
/// The database does not respond.
pub async fn is_pooled_by_transaction(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let (mut one, mut other) = (options.connect().await?, options.connect().await?);
    let mut moved = false;
    for _ in 0..ROUNDS {
        let before = session_of(&mut one).await?;
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let taken = session_of(&mut other).await?;
        // The pooler waits if it has no other session.
        let after = tokio::time::timeout(PATIENCE, session_of(&mut one)).await;
        other.execute(sqlx::raw_sql("ROLLBACK")).await?;
        moved = match after {
            Ok(after) => after? != before || taken == before,
            // It responded before the other connection began a transaction.
            Err(_) => return Ok(true),
        };
        if moved {
            break;
        }
        std::mem::swap(&mut one, &mut other);
    }
    // An error while closing does not matter.
    let _ = tokio::join!(one.close(), other.close());
    Ok(moved)
}

/// The process of the server for a connection. The statement is not prepared, because every pooler
/// forwards such a statement.
async fn session_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection
        .fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()"))
        .await?;
    row.try_get(0)
}
