//! The connection pool of a service, and the time limits of the database
//! ([decision 20](../../../docs/decisions/0020-a-database-that-does-not-answer-is-left.md)).
//!
//! Three measures keep a database that stops responding from blocking a replica: every wait for
//! the database is [`within`] a limit; the pool tests a connection that is returned, unless it has just
//! committed, and closes it if it does not respond or if its server does not accept writes; and the
//! server ends the transactions of clients that are gone.

mod bounded_connection;
mod check;
mod connect_once;
mod connection_checks;
mod pool_metrics;
mod pooler;
mod pruning;
mod sweeping;
mod time_limit;

use std::ops::RangeInclusive;
use std::str::FromStr as _;
use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

pub use bounded_connection::BoundedConnection;
pub use check::DatabaseCheck;
pub use connect_once::{ConnectError, OpenError, connect_once};
pub use connection_checks::{RECENTLY_TESTED, without_tests};
pub(crate) use pool_metrics::acquire_times;
pub use pool_metrics::measure_pool;
pub use pooler::{is_pooled_by_transaction, refuse_transaction_pooling};
pub use pruning::{PRUNE_BATCH, PruneRule, prune, prune_audit, prune_once};
pub use sweeping::{SWEEP_WINDOW, Sweep};
pub use time_limit::{ANSWER, UNHURRIED, within};

use connection_checks::ServerSettings;

/// Default number of connections of a pool.
const USUAL_CONNECTIONS: u32 = 16;

/// A pool allocates its connections' places at once.
const CONNECTIONS: RangeInclusive<u32> = 1..=10_000;

/// How long a request waits for a connection, including connecting, before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

const NAME: &str = "DATABASE_URL";

/// A pool of connections to `DATABASE_URL`, with at most `DATABASE_MAX_CONNECTIONS` (16)
/// connections. It connects when it is first used: a service may start before its database and
/// is then not ready at `/readyz`.
///
/// # Errors
/// The URL is missing or is not valid, or the number is out of bounds.
pub fn pool(environment: &Environment, service: &str) -> Result<PgPool, ConfigErrors> {
    pool_metrics::describe();
    pool_with(environment, service, ServerSettings::FOR_A_SERVICE)
}

/// The same for a command of an operator, whose statements have no time limit. It connects once,
/// because a pool that cannot connect says only that the time is over.
///
/// # Errors
/// As [`pool`], or the database cannot be used.
pub async fn pool_of_command(
    environment: &Environment,
    command: &str,
) -> Result<PgPool, OpenError> {
    let pool = pool_with(environment, command, ServerSettings::FOR_A_COMMAND)?;
    let connection = connect_once(&pool.connect_options()).await?;
    // It was only tried out, so it does not matter how it ends.
    let _ = connection.close().await;
    Ok(pool)
}

fn pool_with(
    environment: &Environment,
    name: &str,
    settings: ServerSettings,
) -> Result<PgPool, ConfigErrors> {
    read_all! {
        let options = options(environment);
        let most = environment.number("DATABASE_MAX_CONNECTIONS", USUAL_CONNECTIONS, CONNECTIONS);
    }
    Ok(settings
        .apply_to(PgPoolOptions::new())
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .acquire_time_level(pool_metrics::EVENT_LEVEL)
        .connect_lazy_with(options.application_name(name)))
}

/// A separate pool of one connection to the database of `pool`, for a user that keeps its
/// connection for long: a listener for `NOTIFY`, or a transaction that waits for another server.
/// Requests would otherwise have one connection less.
pub fn separate_pool(pool: &PgPool) -> PgPool {
    let options = PgPoolOptions::new().max_connections(1);
    connect_apart(pool, options)
}

/// The same with more than one connection, for work that is seldom: a connection that is idle for
/// longer than `idle_for` is closed.
pub fn occasional_pool(pool: &PgPool, connections: u32, idle_for: Duration) -> PgPool {
    let options = PgPoolOptions::new()
        .max_connections(connections)
        .idle_timeout(idle_for);
    connect_apart(pool, options)
}

fn connect_apart(pool: &PgPool, options: PgPoolOptions) -> PgPool {
    ServerSettings::FOR_A_LONG_WAIT
        .apply_to(options)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with((*pool.connect_options()).clone())
}

/// Returns `true` if PostgreSQL refused a statement because the role may not execute it
/// (`insufficient_privilege`). Its text names the table.
pub fn is_refused_to_the_role(error: &(dyn std::error::Error + 'static)) -> bool {
    let refusal = error.downcast_ref::<Box<dyn sqlx::error::DatabaseError>>();
    refusal.is_some_and(|refusal| refusal.code().as_deref() == Some("42501"))
}

/// The options of `DATABASE_URL`.
///
/// # Errors
/// The URL is missing or is not valid.
pub fn options(environment: &Environment) -> Result<PgConnectOptions, ConfigError> {
    const EXAMPLE: &str = "postgres://user:password@host:5432/database";
    let url = environment.server_url(NAME, &["postgres", "postgresql"], EXAMPLE)?;
    PgConnectOptions::from_str(&url)
        // The default of PostgreSQL since version 12; pgbouncer refuses the option.
        .map(|options| options.extra_float_digits(None))
        // The error of the parser may show the password.
        .map_err(|_| ConfigError::new(NAME, format!("must be a URL such as {EXAMPLE}")))
}
