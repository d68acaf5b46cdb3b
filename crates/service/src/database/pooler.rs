//! Recognises a pooler that gives each transaction another session.

use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::{NAME, options};

/// Each question has this long.
const PATIENCE: Duration = Duration::from_secs(3);

/// The database may come later than the service.
const AGAIN: Duration = Duration::from_secs(2);

/// How many times the two connections change places: a pooler that goes round its
/// sessions may give the same one by chance.
const ROUNDS: usize = 4;

/// Ends, with what to say, where `DATABASE_URL` leads to a pooler in transaction
/// mode; else never. Statements are prepared, limits set and notifications heard
/// per session: there they would meet another's.
///
/// # Errors
/// Always.
pub async fn refuse_transaction_pooling(environment: &Environment) -> ConfigError {
    let Ok(options) = options(environment) else {
        // Whoever reads the configuration says so, in its order.
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

/// Whether a connection gets another session than before as soon as somebody else
/// has its own in a transaction.
///
/// # Errors
/// The database does not answer.
pub async fn is_pooled_by_transaction(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let (mut one, mut other) = (options.connect().await?, options.connect().await?);
    let mut moved = false;
    for _ in 0..ROUNDS {
        let before = session_of(&mut one).await?;
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let taken = session_of(&mut other).await?;
        // Where the pooler has no other, it waits: it has none to spare.
        let after = tokio::time::timeout(PATIENCE, session_of(&mut one)).await;
        other.execute(sqlx::raw_sql("ROLLBACK")).await?;
        moved = match after {
            Ok(after) => after? != before || taken == before,
            // It answered before, and stopped when another began a transaction.
            Err(_) => return Ok(true),
        };
        if moved {
            break;
        }
        std::mem::swap(&mut one, &mut other);
    }
    // Neither says more than that it goes.
    let _ = tokio::join!(one.close(), other.close());
    Ok(moved)
}

/// The server's process behind a connection: by a plain statement, which every
/// pooler passes on.
async fn session_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection
        .fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()"))
        .await?;
    row.try_get(0)
}
