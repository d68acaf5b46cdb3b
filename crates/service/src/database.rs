//! The connection pool of a service, and how long anybody waits for the database
//! ([decision 20](../../../docs/decisions/0020-a-database-that-does-not-answer-is-left.md)).
//!
//! Three things together keep a database that goes away without a word from taking
//! a replica with it: whoever waits for an answer waits [`within`] a limit; the
//! pool looks at every connection that comes back and closes one that does not
//! answer, or whose server takes no writes; the server ends what a client left.

mod check;
mod connection_checks;
mod pooler;
mod time_limit;

use std::num::NonZeroU32;
use std::str::FromStr as _;
use std::time::Duration;

use latchkey_config::{ConfigError, Environment, hint_of_server_url};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

pub use check::DatabaseCheck;
pub use connection_checks::{RECENTLY_TESTED, without_tests};
pub use pooler::{is_pooled_by_transaction, refuse_transaction_pooling};
pub use time_limit::{ANSWER, UNHURRIED, within};

use connection_checks::ServerLimits;

/// Connections of a pool where nothing else is said.
const USUAL_CONNECTIONS: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// How long a request waits for a connection before it fails: connecting
/// included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

const NAME: &str = "DATABASE_URL";

/// A pool on `DATABASE_URL`, with at most `DATABASE_MAX_CONNECTIONS` (16)
/// connections. Connects when first used: a service starts before its database
/// and says so at `/readyz`.
///
/// # Errors
/// The URL is missing or is none.
pub fn pool(environment: &Environment, service: &str) -> Result<PgPool, ConfigError> {
    pool_with(environment, service, ServerLimits::FOR_A_SERVICE)
}

/// The same for a command that an operator waits for: its statements may take as
/// long as they take.
///
/// # Errors
/// As [`pool`].
pub fn pool_of_command(environment: &Environment, command: &str) -> Result<PgPool, ConfigError> {
    pool_with(environment, command, ServerLimits::FOR_A_COMMAND)
}

fn pool_with(
    environment: &Environment,
    name: &str,
    limits: ServerLimits,
) -> Result<PgPool, ConfigError> {
    let options = options(environment)?.application_name(name);
    let most = environment.parsed("DATABASE_MAX_CONNECTIONS", USUAL_CONNECTIONS)?;
    Ok(limits
        .apply_to(PgPoolOptions::new())
        .max_connections(most.get())
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

/// One connection to the database of `pool` that is not one of its connections,
/// for what keeps one for long: who listens for `NOTIFY`, and who waits for
/// another server inside a transaction. Taken from the pool, it would be missing
/// there.
pub fn separate_pool(pool: &PgPool) -> PgPool {
    ServerLimits::FOR_A_LONG_WAIT
        .apply_to(PgPoolOptions::new())
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with((*pool.connect_options()).clone())
}

/// `DATABASE_URL`.
///
/// # Errors
/// It is missing or is none.
pub fn options(environment: &Environment) -> Result<PgConnectOptions, ConfigError> {
    let url = environment.required(NAME, "postgres://user:password@host:5432/database")?;
    if let Some(hint) = hint_of_server_url(&url) {
        return Err(ConfigError::new(NAME, hint));
    }
    // The parser's own words may show the password, and it takes any scheme.
    Some(url.as_str())
        .filter(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"))
        .and_then(|url| PgConnectOptions::from_str(url).ok())
        // PostgreSQL's own since version 12, and pgbouncer refuses to be told.
        .map(|options| options.extra_float_digits(None))
        .ok_or_else(|| {
            ConfigError::new(
                NAME,
                "is no PostgreSQL URL: postgres://user:password@host/database",
            )
        })
}
