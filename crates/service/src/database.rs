//! The connection pool of a service.

use std::str::FromStr as _;
use std::time::Duration;

use async_trait::async_trait;
use latchkey_config::{ConfigError, Environment};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::health::Check;

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
    Ok(PgPoolOptions::new()
        .max_connections(environment.parsed("DATABASE_MAX_CONNECTIONS", 16)?)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
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
