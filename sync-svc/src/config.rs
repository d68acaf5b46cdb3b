//! The configuration, read from environment variables.

use std::net::SocketAddr;
use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, parse_duration, read_all};
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::consumer::RetrySchedule;
use latchkey_policy::{CallerSettings, CallersBy, LivePolicy};
use latchkey_service::grpc::ServerTls;
use latchkey_service::{database, shutdown};
use sqlx::PgPool;

use crate::connect::ConnectMode;

const DAY: Duration = Duration::from_hours(24);

/// Name in logs, and of the connections to the broker and the database.
pub const SERVICE: &str = "sync-svc";

/// The configuration of sync-svc.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the gRPC server (`GRPC_LISTEN`).
    pub grpc_listen: SocketAddr,
    /// Mutual TLS of gRPC (`GRPC_TLS_…`).
    pub grpc_tls: ServerTls,
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
    pub retry_schedule: RetrySchedule,
    /// How often queues and bindings are declared again, and unrouted events are
    /// published again (`QUEUES_CHECKED_EVERY`).
    pub queues_checked_every: Duration,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Variables are missing or wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let grpc_listen = environment.listen("GRPC_LISTEN", ([0, 0, 0, 0], 50052).into());
            let grpc_tls = CallersBy::server_tls(environment);
            let callers = CallerSettings::from_environment(environment);
            let policy = crate::grpc::policy(environment);
            let health_listen = environment.listen("HEALTH_LISTEN", ([0, 0, 0, 0], 8081).into());
            let shutdown_delay = shutdown::delay(environment);
            let pool = database::pool(environment, SERVICE);
            let broker = BrokerConfig::from_environment(environment, SERVICE);
            let connect_mode = environment.parsed("CONNECT_MODE", ConnectMode::default());
            let retry_schedule = retry_schedule(environment);
            let queues_checked_every = environment.duration(
                "QUEUES_CHECKED_EVERY",
                Duration::from_secs(30),
                Duration::from_millis(100)..=DAY,
            );
        }
        Ok(Self {
            grpc_listen,
            grpc_tls,
            callers,
            policy,
            health_listen,
            pool,
            shutdown_delay,
            broker,
            connect_mode,
            retry_schedule,
            queues_checked_every,
        })
    }
}

/// `RETRY_DELAYS`, e.g. `5s,30s,5m,30m`. The last delay is repeated for one day.
fn retry_schedule(environment: &Environment) -> Result<RetrySchedule, ConfigError> {
    const NAME: &str = "RETRY_DELAYS";
    let bounds = Duration::from_millis(10)..=DAY;
    let texts = environment.list(NAME)?;
    let delays: Option<Vec<Duration>> = texts
        .iter()
        .map(|text| {
            parse_duration(text)
                .ok()
                .filter(|delay| bounds.contains(delay))
        })
        .collect();
    // Each delay has a queue of its own.
    let Some(delays) = delays.filter(|delays| delays.len() <= 10) else {
        let problem = "must be at most ten lengths of time from 10ms to 1d, such as \
                       5s,30s,5m,30m";
        return Err(ConfigError::new(NAME, problem));
    };
    let Some(last) = delays.last() else {
        return Ok(RetrySchedule::default());
    };
    let repeats = DAY.as_millis() / last.as_millis();
    let attempts = repeats.saturating_add(delays.len() as u128).min(1_000);
    Ok(RetrySchedule::new(
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
        assert_eq!(
            retry_schedule(&Environment::default()),
            Ok(RetrySchedule::default())
        );
        let read = retry_schedule(&environment("5s,30m")).unwrap();
        assert_eq!(
            read.delays(),
            [Duration::from_secs(5), Duration::from_mins(30)]
        );
        for wrong in ["5", "0s", "2d", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s"] {
            let error = retry_schedule(&environment(wrong)).unwrap_err();
            assert_eq!(error.name, "RETRY_DELAYS");
        }
    }
}
