//! Configuration from environment variables.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::Clock;
use latchkey_messaging::broker::BrokerConfig;
use latchkey_opening::OpeningKeys;
use latchkey_policy::{CallerSettings, Contract, LivePolicy};
use latchkey_providers::{REQUEST_DEADLINE, Registry};
use latchkey_service::grpc::ServerTls;
use latchkey_service::shutdown;
use secrecy::ExposeSecret as _;
use sqlx::PgPool;

use crate::engine::Timing;
use crate::upstream::Limits;

/// Concurrent refreshes per provider and replica.
const CONCURRENCY: NonZeroU32 = NonZeroU32::new(256).unwrap();
/// Refreshes per second, per provider and replica.
const RATE: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Refreshes ahead of expiry per second, per provider and replica.
const AHEAD_RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Longest wait for a change notification before the row is read again.
const POLL: Duration = Duration::from_millis(500);

/// Configuration of the service.
#[derive(Debug)]
pub struct Config {
    /// Address of the gRPC server: `GRPC_LISTEN`.
    pub grpc_listen: SocketAddr,
    /// How long the service keeps serving after it was asked to stop: `SHUTDOWN_DELAY`.
    pub shutdown_delay: Duration,
    /// Address of the health endpoints: `HEALTH_LISTEN`.
    pub health_listen: SocketAddr,
    /// Mutual TLS: `GRPC_TLS_CERT`, `GRPC_TLS_KEY`, `GRPC_TLS_CLIENT_CA`.
    pub tls: ServerTls,
    /// How callers authenticate: `CALLERS_BY`.
    pub callers: CallerSettings,
    /// Authorization policy: `POLICY_FILE`.
    pub policy: LivePolicy,
    /// Pool of the credential database: `DATABASE_URL`.
    pub pool: PgPool,
    /// Message broker: `AMQP_URL`.
    pub broker: BrokerConfig,
    /// Private keys that open grants: `SEALING_PRIVATE_KEYS`.
    pub keys: OpeningKeys,
    /// Interval of searches for grants of earlier keys: `SEALING_RESEAL_EVERY`.
    pub reseal_every: Duration,
    /// Providers: `AUTH_…`.
    pub providers: Registry,
    /// `REFRESH_LEASE`, `REFRESH_PROVIDER_DEADLINE`, `REFRESH_TIME_TO_STORE`.
    pub timing: Timing,
    /// `REFRESH_CONCURRENCY`, `REFRESH_RATE`, `REFRESH_AHEAD_RATE`.
    pub limits: Limits,
    /// Accounts requested within this time are refreshed ahead of expiry:
    /// `REFRESH_AHEAD_WINDOW`.
    pub ahead_window: Duration,
    /// Limit of concurrently waiting calls of one caller: `CALLER_WAITING_LIMIT`.
    pub most_waiting: usize,
    /// Limit of concurrent watches: `WATCH_LIMIT`.
    pub most_watchers: usize,
    /// Limit of cached accounts: `TOKEN_CACHE_CAPACITY`.
    pub cache_capacity: usize,
    /// Age at which a cached token is revalidated: `TOKEN_CACHE_REVALIDATE`.
    pub cache_revalidate: Duration,
    /// Source of the current time.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Returned if a variable is missing or invalid.
    pub fn from_environment(
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let lease = environment.duration("REFRESH_LEASE", Duration::from_secs(45))?;
        let provider_deadline =
            environment.duration("REFRESH_PROVIDER_DEADLINE", REQUEST_DEADLINE)?;
        let time_to_store =
            environment.duration("REFRESH_TIME_TO_STORE", Duration::from_secs(8))?;
        let timing = Timing::new(lease, provider_deadline, time_to_store, POLL)
            .map_err(|error| ConfigError::new("REFRESH_LEASE", error.to_string()))?;
        let callers = CallerSettings::from_environment(environment)?;
        Ok(Self {
            grpc_listen: environment.listen("GRPC_LISTEN", ([0, 0, 0, 0], 50051).into())?,
            shutdown_delay: shutdown::delay(environment)?,
            health_listen: environment.listen("HEALTH_LISTEN", ([0, 0, 0, 0], 8082).into())?,
            tls: ServerTls::new(environment, callers.by.client_certificate())?,
            callers,
            policy: LivePolicy::from_environment(environment, Contract::tokens())?,
            pool: latchkey_service::database::pool(environment, "refresh-svc")?,
            broker: BrokerConfig::from_environment(environment, "refresh-svc")?,
            keys: opening_keys(environment)?,
            reseal_every: environment
                .duration("SEALING_RESEAL_EVERY", Duration::from_mins(10))?
                .max(Duration::from_millis(100)),
            providers: Registry::from_environment(environment, Arc::clone(&clock))?,
            timing,
            limits: Limits {
                concurrency: environment
                    .parsed("REFRESH_CONCURRENCY", CONCURRENCY)?
                    .get(),
                rate: environment.parsed("REFRESH_RATE", RATE)?,
                ahead: environment.parsed("REFRESH_AHEAD_RATE", AHEAD_RATE)?,
            },
            ahead_window: environment.duration("REFRESH_AHEAD_WINDOW", Duration::from_mins(30))?,
            most_waiting: environment.parsed("CALLER_WAITING_LIMIT", 8_192)?,
            most_watchers: environment.parsed("WATCH_LIMIT", 1_000)?,
            cache_capacity: environment.parsed("TOKEN_CACHE_CAPACITY", 100_000)?,
            cache_revalidate: environment
                .duration("TOKEN_CACHE_REVALIDATE", Duration::from_secs(5))?,
            clock,
        })
    }
}

/// Reads the private keys of `SEALING_PRIVATE_KEYS`.
///
/// # Errors
/// Returned if the variable is missing or invalid.
pub fn opening_keys(environment: &Environment) -> Result<OpeningKeys, ConfigError> {
    const NAME: &str = "SEALING_PRIVATE_KEYS";
    environment
        .secret(NAME, "what `refresh-svc keys generate` prints")?
        .expose_secret()
        .parse()
        .map_err(|error| ConfigError::new(NAME, format!("is wrong: {error}")))
}
