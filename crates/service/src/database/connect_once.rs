//! One attempt to connect whose error says what an operator can check. A pool tries again until
//! its time is over, and then says only that.

use std::io;
use std::time::Duration;

use latchkey_config::ConfigErrors;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Error};

/// Time limit of the attempt.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `invalid_password` and `invalid_authorization_specification`.
const CREDENTIALS: [&str; 2] = ["28P01", "28000"];
/// `invalid_catalog_name`.
const NO_DATABASE: &str = "3D000";
/// `too_many_connections`.
const TOO_MANY: &str = "53300";

/// Why the database of `DATABASE_URL` cannot be used. The texts name the server and no password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens at the address.
    #[error(
        "connection refused by {server}: is PostgreSQL running there, and is this the host and \
         the port that DATABASE_URL should name?"
    )]
    ConnectionRefused {
        /// Host and port.
        server: String,
    },
    /// There was no answer.
    #[error(
        "{server} does not answer within {} s: a firewall or a network policy may be in between, \
         or DATABASE_URL names another host",
        TIMEOUT.as_secs()
    )]
    NoAnswer {
        /// Host and port.
        server: String,
    },
    /// The server refuses the role or its password.
    #[error("{server} refuses the role {role} of DATABASE_URL: {reason}")]
    Credentials {
        /// Host and port.
        server: String,
        /// The role.
        role: String,
        /// The server's text.
        reason: String,
    },
    /// The server has no database of this name.
    #[error(
        "{server}: {reason}: correct the name in DATABASE_URL, or create the database and run \
         latchkey-migrate"
    )]
    NoDatabase {
        /// Host and port.
        server: String,
        /// The server's text.
        reason: String,
    },
    /// The server has no connection left.
    #[error("{server} has no connection left for the role {role}: {reason}")]
    TooMany {
        /// Host and port.
        server: String,
        /// The role.
        role: String,
        /// The server's text.
        reason: String,
    },
    /// The TLS handshake failed, or the server has no TLS and DATABASE_URL asks for it.
    #[error(
        "cannot connect to {server} over TLS: {source}: SSL_CERT_FILE names the authority of the \
         server, and sslmode in DATABASE_URL whether TLS is used"
    )]
    Tls {
        /// Host and port.
        server: String,
        /// The error of the driver.
        source: Error,
    },
    /// Any other problem, such as a host that name servers do not know.
    #[error("cannot connect to {server}, the server of DATABASE_URL: {source}")]
    Other {
        /// Host and port.
        server: String,
        /// The error of the driver.
        source: Error,
    },
}

/// Why a command has no pool of connections.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Variables are faulty.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The database cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Connects once, within five seconds.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect_once(options: &PgConnectOptions) -> Result<PgConnection, ConnectError> {
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let attempt = tokio::time::timeout(TIMEOUT, PgConnection::connect_with(options));
    let Ok(connected) = attempt.await else {
        return Err(ConnectError::NoAnswer { server });
    };
    connected.map_err(|error| problem(server, options.get_username(), error))
}

fn problem(server: String, role: &str, error: Error) -> ConnectError {
    match &error {
        Error::Io(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
            ConnectError::ConnectionRefused { server }
        }
        Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            let (role, reason) = (role.to_owned(), refusal.message().to_owned());
            if CREDENTIALS.contains(&&*code) {
                ConnectError::Credentials {
                    server,
                    role,
                    reason,
                }
            } else if code == NO_DATABASE {
                ConnectError::NoDatabase { server, reason }
            } else if code == TOO_MANY {
                ConnectError::TooMany {
                    server,
                    role,
                    reason,
                }
            } else {
                ConnectError::Other {
                    server,
                    source: error,
                }
            }
        }
        Error::Tls(_) => ConnectError::Tls {
            server,
            source: error,
        },
        _ => ConnectError::Other {
            server,
            source: error,
        },
    }
}
