//! Configuration from environment variables.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_domain::Clock;
use latchkey_messaging::broker::BrokerConfig;
use latchkey_opening::{InvalidOpeningKey, OpeningKeys};
use latchkey_policy::{CallerSettings, CallersBy, Contract, LivePolicy};
use latchkey_providers::{REQUEST_DEADLINE, Registry};
use latchkey_sealing::SealingKey;
use latchkey_service::grpc::ServerTls;
use latchkey_service::{database, shutdown};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;

use crate::engine::Timing;
use crate::upstream::Limits;

/// Name of the service in logs, and of its connections to the broker and the database.
pub const SERVICE: &str = "refresh-svc";

/// Concurrent refreshes per provider and replica.
const CONCURRENCY: u32 = 256;
/// Refreshes per second, per provider and replica.
const RATE: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Refreshes ahead of expiry per second, per provider and replica.
const AHEAD_RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Bounds of both rates.
const RATES: RangeInclusive<NonZeroU32> = NonZeroU32::MIN..=NonZeroU32::new(100_000).unwrap();
/// Bounds of the limits of what is held in memory for each unit.
const UNITS: RangeInclusive<usize> = 1..=10_000_000;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

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
    /// Returns the variables that are missing or invalid.
    pub fn from_environment(
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigErrors> {
        read_all! {
            let grpc_listen = environment.listen("GRPC_LISTEN", ([0, 0, 0, 0], 50051).into());
            let shutdown_delay = shutdown::delay(environment);
            let health_listen = environment.listen("HEALTH_LISTEN", ([0, 0, 0, 0], 8082).into());
            let tls = CallersBy::server_tls(environment);
            let callers = CallerSettings::from_environment(environment);
            let policy = LivePolicy::from_environment(environment, Contract::tokens());
            let pool = database::pool(environment, SERVICE);
            let broker = BrokerConfig::from_environment(environment, SERVICE);
            let keys = opening_keys(environment);
            let reseal_every = environment.duration(
                "SEALING_RESEAL_EVERY",
                Duration::from_mins(10),
                100 * MILLISECOND..=DAY,
            );
            let providers = Registry::from_environment(environment, Arc::clone(&clock));
            let timing = timing(environment);
            let limits = limits(environment);
            let ahead_window = environment.duration(
                "REFRESH_AHEAD_WINDOW",
                Duration::from_mins(30),
                Duration::ZERO..=DAY,
            );
            let most_waiting = environment.number("CALLER_WAITING_LIMIT", 8_192, UNITS);
            let most_watchers = environment.number("WATCH_LIMIT", 1_000, UNITS);
            let cache_capacity = environment.number("TOKEN_CACHE_CAPACITY", 100_000, UNITS);
            let cache_revalidate = environment.duration(
                "TOKEN_CACHE_REVALIDATE",
                Duration::from_secs(5),
                Duration::ZERO..=HOUR,
            );
        }
        Ok(Self {
            grpc_listen,
            shutdown_delay,
            health_listen,
            tls,
            callers,
            policy,
            pool,
            broker,
            keys,
            reseal_every,
            providers,
            timing,
            limits,
            ahead_window,
            most_waiting,
            most_watchers,
            cache_capacity,
            cache_revalidate,
            clock,
        })
    }
}

fn timing(environment: &Environment) -> Result<Timing, ConfigErrors> {
    const LEASE: &str = "REFRESH_LEASE";
    let duration = |name, default| environment.duration(name, default, 100 * MILLISECOND..=HOUR);
    read_all! {
        let lease = duration(LEASE, Duration::from_secs(45));
        let provider_deadline = duration("REFRESH_PROVIDER_DEADLINE", REQUEST_DEADLINE);
        let time_to_store = duration("REFRESH_TIME_TO_STORE", Duration::from_secs(8));
    }
    Timing::new(lease, provider_deadline, time_to_store, POLL)
        .map_err(|error| ConfigError::new(LEASE, error.to_string()).into())
}

fn limits(environment: &Environment) -> Result<Limits, ConfigErrors> {
    read_all! {
        let concurrency = environment.number("REFRESH_CONCURRENCY", CONCURRENCY, 1..=100_000);
        let rate = environment.number("REFRESH_RATE", RATE, RATES);
        let ahead = environment.number("REFRESH_AHEAD_RATE", AHEAD_RATE, RATES);
    }
    Ok(Limits {
        concurrency,
        rate,
        ahead,
    })
}

/// Reads the private keys of `SEALING_PRIVATE_KEYS`, and warns of ids that are not derived from
/// their keys.
///
/// # Errors
/// Returned if the variable is missing or invalid.
pub fn opening_keys(environment: &Environment) -> Result<OpeningKeys, ConfigError> {
    const NAME: &str = "SEALING_PRIVATE_KEYS";
    let keys: OpeningKeys = environment
        .secret(NAME, "what `refresh-svc keys generate` prints")?
        .expose_secret()
        .parse()
        .map_err(|error: InvalidOpeningKey| ConfigError::new(NAME, error.to_string()))?;
    for underived in keys.sealing_keys().filter_map(SealingKey::underived_id) {
        environment.warn(NAME, underived.to_string());
    }
    Ok(keys)
}
