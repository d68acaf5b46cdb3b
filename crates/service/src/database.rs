//! The connection pool of a service.

use std::num::NonZeroU32;
use std::str::FromStr as _;
use std::time::Duration;

use async_trait::async_trait;
use latchkey_config::{ConfigError, Environment};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::health::Check;

/// Connections of a pool where nothing else is said.
const USUAL_CONNECTIONS: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool on `DATABASE_URL`, with at most `DATABASE_MAX_CONNECTIONS` (16)
/// connections. Connects when first used: a service starts before its database
/// and says so at `/readyz`.
///
/// # Errors
/// The URL is missing or is none.
pub fn pool(environment: &Environment, service: &str) -> Result<PgPool, ConfigError> {
    const NAME: &str = "DATABASE_URL";
    let url = environment.required(NAME, "postgres://user:password@host:5432/database")?;
    // The parser's own words may show the password, and it takes any scheme.
    let options = Some(url.as_str())
        .filter(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"))
        .and_then(|url| PgConnectOptions::from_str(url).ok())
        .ok_or_else(|| {
            ConfigError::new(
                NAME,
                "is no PostgreSQL URL: postgres://user:password@host/database",
            )
        })?
        .application_name(service);
    let most = environment.parsed("DATABASE_MAX_CONNECTIONS", USUAL_CONNECTIONS)?;
    Ok(PgPoolOptions::new()
        .max_connections(most.get())
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

/// One connection to the database of `pool` that is not one of its connections,
/// for what keeps one for long: who listens for `NOTIFY`, and who waits for
/// another server inside a transaction. Taken from the pool, it would be missing
/// there.
pub fn apart(pool: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with((*pool.connect_options()).clone())
}

/// Ready while the database answers.
#[derive(Debug, Clone)]
pub struct DatabaseCheck(pub PgPool);

#[async_trait]
impl Check for DatabaseCheck {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), String> {
        sqlx::query("SELECT 1")
            .execute(&self.0)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
