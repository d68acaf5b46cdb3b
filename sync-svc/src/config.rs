//! The configuration, read from environment variables.

use std::net::SocketAddr;
use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::consumer::Ladder;
use latchkey_policy::{CallerSettings, LivePolicy};
use latchkey_service::grpc::Tls;
use latchkey_service::{database, shutdown};
use sqlx::PgPool;

use crate::connect::ConnectMode;

/// Name in logs, and of the connections to the broker and the database.
pub const SERVICE: &str = "sync-svc";

/// The configuration of sync-svc.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the gRPC server (`GRPC_LISTEN`).
    pub grpc_listen: SocketAddr,
    /// Mutual TLS of gRPC (`GRPC_TLS_…`).
    pub grpc_tls: Tls,
    /// How callers authenticate (`CALLERS_BY`).
    pub callers: CallerSettings,
    /// Which callers may call which methods (`POLICY_FILE`).
    pub policy: LivePolicy,
    /// Address of the health server (`HEALTH_LISTEN`).
    pub health_listen: SocketAddr,
    /// The database's connection pool (`DATABASE_URL`).
    pub pool: PgPool,
    /// How long calls are still accepted after the request to stop (`SHUTDOWN_DELAY`).
    pub shutdown_delay: Duration,
    /// The broker (`AMQP_URL`).
    pub broker: BrokerConfig,
    /// Whether new channels start by themselves (`CONNECT_MODE`).
    pub connect_mode: ConnectMode,
    /// The delays after which a failed message is tried again (`RETRY_DELAYS`).
    pub ladder: Ladder,
    /// How often queues and bindings are declared again, and unrouted events are
    /// published again (`QUEUES_CHECKED_EVERY`).
    pub queues_checked_every: Duration,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let callers = CallerSettings::from_environment(environment)?;
        Ok(Self {
            grpc_listen: environment.listen("GRPC_LISTEN", ([0, 0, 0, 0], 50052).into())?,
            grpc_tls: Tls::new(environment, callers.by.client_certificate())?,
            callers,
            policy: crate::grpc::policy(environment)?,
            health_listen: environment.listen("HEALTH_LISTEN", ([0, 0, 0, 0], 8081).into())?,
            shutdown_delay: shutdown::delay(environment)?,
            pool: database::pool(environment, SERVICE)?,
            broker: BrokerConfig::from_environment(environment, SERVICE)?,
            connect_mode: environment.parsed("CONNECT_MODE", ConnectMode::default())?,
            ladder: ladder(environment)?,
            queues_checked_every: queues_checked_every(environment)?,
        })
    }
}

/// `QUEUES_CHECKED_EVERY`, by default 30 s.
fn queues_checked_every(environment: &Environment) -> Result<Duration, ConfigError> {
    const NAME: &str = "QUEUES_CHECKED_EVERY";
    const DEFAULT: Duration = Duration::from_secs(30);
    let every = environment.duration(NAME, DEFAULT)?;
    if every < Duration::from_millis(100) {
        return Err(ConfigError::new(NAME, "must be 100ms at least"));
    }
    Ok(every)
}

/// `RETRY_DELAYS`, e.g. `5s,30s,5m,30m`. The last delay is repeated for one day.
fn ladder(environment: &Environment) -> Result<Ladder, ConfigError> {
    const NAME: &str = "RETRY_DELAYS";
    const DAY: Duration = Duration::from_hours(24);
    let delays = environment
        .list(NAME)?
        .iter()
        .map(|text| latchkey_config::parse_duration(text))
        .collect::<Result<Vec<Duration>, _>>()
        .map_err(|error| ConfigError::new(NAME, format!("each {error}")))?;
    let Some(last) = delays.last() else {
        return Ok(Ladder::default());
    };
    if delays
        .iter()
        .any(|delay| *delay < Duration::from_millis(10) || *delay > DAY)
    {
        return Err(ConfigError::new(NAME, "each must be from 10ms to 1d"));
    }
    let repeats = DAY.as_millis() / last.as_millis();
    let attempts = repeats.saturating_add(delays.len() as u128).min(1_000);
    Ok(Ladder::new(
        delays,
        u32::try_from(attempts).unwrap_or(1_000),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(value: &str) -> Environment {
        [("RETRY_DELAYS", value)].into_iter().collect()
    }

    // R40
    #[test]
    fn retry_delays_are_read_and_a_wrong_one_names_the_variable() {
        assert_eq!(ladder(&Environment::default()), Ok(Ladder::default()));
        let read = ladder(&environment("5s,30m")).unwrap();
        assert_eq!(
            read.delays(),
            [Duration::from_secs(5), Duration::from_mins(30)]
        );
        for wrong in ["5", "0s", "2d"] {
            let error = ladder(&environment(wrong)).unwrap_err();
            assert_eq!(error.name, "RETRY_DELAYS");
        }
    }
}
