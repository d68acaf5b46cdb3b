//! Connecting to the database, with the cause if that fails.

use std::time::Duration;

use latchkey_service::database::{ConnectError, connect_once};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

/// For TCP, TLS and the login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The checks that read at the same time.
const CONNECTIONS: u32 = 4;

/// Why the database cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// There is no connection.
    Connect(ConnectError),
    /// It does not answer in time.
    NoAnswer,
    /// The server is a standby, or was demoted.
    ReadOnly,
    /// The first statement failed.
    Statement(sqlx::Error),
}

/// `<role>@<host>:<port>/<database>`, without the password.
pub(crate) fn target(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| socket.display().to_string(),
    );
    let database = options.get_database().unwrap_or(options.get_username());
    format!("{}@{host}/{database}", options.get_username())
}

/// Connects once, and returns a pool of connections.
///
/// # Errors
/// The cause. A pool alone would try again and only say that it took too long.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgPool, Unusable> {
    let probed = tokio::time::timeout(CONNECT_TIMEOUT, probe(options)).await;
    probed.unwrap_or(Err(Unusable::NoAnswer))?;
    Ok(PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // A statement does not go on after the deadline of its check.
                sqlx::query("SET statement_timeout = '5s'")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
        .connect_lazy_with(options.clone()))
}

/// # Errors
/// There is no connection, or no statement can write.
async fn probe(options: &PgConnectOptions) -> Result<(), Unusable> {
    let mut connection = connect_once(options).await.map_err(Unusable::Connect)?;
    let accepts_writes: bool = sqlx::query_scalar(
        "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean)",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(Unusable::Statement)?;
    // It was only tried out, so it does not matter how it ends.
    let _ = connection.close().await;
    if accepts_writes {
        Ok(())
    } else {
        Err(Unusable::ReadOnly)
    }
}
