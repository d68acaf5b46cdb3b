//! Environment to typed configuration.

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
use latchkey_service::grpc::Tls;
use latchkey_service::shutdown;
use secrecy::ExposeSecret as _;
use sqlx::PgPool;

use crate::engine::Timing;
use crate::upstream::Limits;

/// Refreshes at once, per provider and replica.
const CONCURRENCY: NonZeroU32 = NonZeroU32::new(256).unwrap();
/// Refreshes per second, per provider and replica.
const RATE: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Of these ahead of expiry.
const AHEAD_RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Longest poll where a notification stays away.
const POLL: Duration = Duration::from_millis(500);

/// Everything that the service needs to start.
#[derive(Debug)]
pub struct Configuration {
    /// Address of the gRPC server: `GRPC_LISTEN`.
    pub grpc_listen: SocketAddr,
    /// How long it goes on serving once it is asked to end: `SHUTDOWN_DELAY`.
    pub shutdown_delay: Duration,
    /// Address of the health endpoints: `HEALTH_LISTEN`.
    pub health_listen: SocketAddr,
    /// Mutual TLS: `GRPC_TLS_CERT`, `GRPC_TLS_KEY`, `GRPC_TLS_CLIENT_CA`.
    pub tls: Tls,
    /// How callers say who they are: `CALLERS_BY`.
    pub callers: CallerSettings,
    /// Who may ask for what: `POLICY_FILE`.
    pub policy: LivePolicy,
    /// The credentials: `DATABASE_URL`.
    pub pool: PgPool,
    /// The broker: `AMQP_URL`.
    pub broker: BrokerConfig,
    /// Private keys: `SEALING_PRIVATE_KEYS`.
    pub keys: OpeningKeys,
    /// Looked through for grants of earlier keys this often: `SEALING_RESEAL_EVERY`.
    pub reseal_every: Duration,
    /// Providers: `AUTH_…`.
    pub providers: Registry,
    /// `REFRESH_LEASE`, `REFRESH_PROVIDER_DEADLINE`, `REFRESH_TIME_TO_STORE`.
    pub timing: Timing,
    /// `REFRESH_CONCURRENCY`, `REFRESH_RATE`, `REFRESH_AHEAD_RATE`.
    pub limits: Limits,
    /// Accounts asked for within this time are refreshed ahead of expiry:
    /// `REFRESH_AHEAD_WINDOW`.
    pub ahead_window: Duration,
    /// Calls of one caller that wait at once: `CALLER_WAITING_LIMIT`.
    pub most_waiting: usize,
    /// Watchers of accounts at once: `WATCH_LIMIT`.
    pub most_watchers: usize,
    /// Accounts whose token is kept in memory: `TOKEN_CACHE_CAPACITY`.
    pub cache_capacity: usize,
    /// A cached token older than this is looked at again: `TOKEN_CACHE_REVALIDATE`.
    pub cache_revalidate: Duration,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Configuration {
    /// Reads the environment.
    ///
    /// # Errors
    /// A variable is missing or wrong.
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
            tls: Tls::new(environment, callers.by.client_certificate())?,
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

/// The private keys of `SEALING_PRIVATE_KEYS`.
///
/// # Errors
/// The variable is missing or wrong.
pub fn opening_keys(environment: &Environment) -> Result<OpeningKeys, ConfigError> {
    const NAME: &str = "SEALING_PRIVATE_KEYS";
    environment
        .secret(NAME, "what `refresh-svc keys generate` prints")?
        .expose_secret()
        .parse()
        .map_err(|error| ConfigError::new(NAME, format!("is wrong: {error}")))
}
