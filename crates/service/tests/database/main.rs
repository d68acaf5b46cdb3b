//! R39: the pool against a real PostgreSQL that goes away without a word, is demoted,
//! or is behind a pooler.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod connection_checks;
mod left_transactions;
mod lost_connections;
mod pooler;

use latchkey_config::Environment;
use sqlx::PgPool;

/// A service's pool of one connection.
fn pool_at(url: &str) -> PgPool {
    pool_of("1", url)
}

/// A service's pool with at most this number of connections.
fn pool_of(connections: &str, url: &str) -> PgPool {
    let environment: Environment = [
        ("DATABASE_URL", url),
        ("DATABASE_MAX_CONNECTIONS", connections),
    ]
    .into_iter()
    .collect();
    latchkey_service::database::pool(&environment, "test").unwrap()
}
