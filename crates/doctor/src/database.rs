//! Connecting to the database, with the cause if that fails.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

/// For TCP, TLS and the login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The checks that read at the same time.
const CONNECTIONS: u32 = 4;

/// Why the database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseProblem {
    /// No connection: the error of the operating system.
    Unreachable(String),
    /// It refuses the role or its password.
    Login,
    /// There is no database of this name.
    NoDatabase,
    /// Its connections are used up.
    Full,
    /// The TLS handshake failed.
    Tls(String),
    /// It does not answer in time.
    NoAnswer,
    /// The server is a standby, or was demoted.
    ReadOnly,
    /// Another error of the server.
    Other(String),
}

impl DatabaseProblem {
    fn of(error: &sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        match (code.as_deref(), error) {
            // invalid_password, invalid_authorization_specification
            (Some("28P01" | "28000"), _) => Self::Login,
            // invalid_catalog_name
            (Some("3D000"), _) => Self::NoDatabase,
            // too_many_connections
            (Some("53300"), _) => Self::Full,
            (_, sqlx::Error::Io(error)) => Self::Unreachable(error.to_string()),
            (_, sqlx::Error::Tls(error)) => Self::Tls(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for DatabaseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "cannot be reached: {error}"),
            Self::Login => f.write_str("refuses the role or its password"),
            Self::NoDatabase => f.write_str("does not exist on the server"),
            Self::Full => f.write_str("has no connection left"),
            Self::Tls(error) => write!(f, "cannot be reached over TLS: {error}"),
            Self::NoAnswer => f.write_str("does not answer"),
            Self::ReadOnly => f.write_str("is read-only: a standby, or one that was demoted"),
            Self::Other(error) => f.write_str(error),
        }
    }
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
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgPool, DatabaseProblem> {
    let probed = tokio::time::timeout(CONNECT_TIMEOUT, probe(options)).await;
    let accepts_writes = probed
        .map_err(|_| DatabaseProblem::NoAnswer)?
        .map_err(|error| DatabaseProblem::of(&error))?;
    if !accepts_writes {
        return Err(DatabaseProblem::ReadOnly);
    }
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

async fn probe(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut connection = options.connect().await?;
    let accepts_writes = sqlx::query_scalar(
        "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean)",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(accepts_writes)
}
