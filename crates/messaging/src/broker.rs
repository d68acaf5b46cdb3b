//! Connections to RabbitMQ. A lost one is replaced, never repaired: whoever
//! uses it opens a new one and declares what it needs.

mod attempt;
mod check;
mod publish;

use std::fmt;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use latchkey_config::{ConfigError, Environment, hint_of_server_url};
use latchkey_domain::Backoff;
use latchkey_service::jitter::Jitter;
use tokio_util::sync::CancellationToken;

pub use check::BrokerCheck;
pub(crate) use publish::{confirmed, publish};

/// TCP, TLS and AMQP hand-shake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Each answer of the broker to anything else that is asked of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer is noticed within two of these.
const HEARTBEAT_SECONDS: u16 = 10;
/// Longest frame, in bytes (AMQP 0-9-1, 2.3.5). The client keeps 64 of them in memory for
/// each connection: 8 MiB with the 128 KiB that RabbitMQ proposes. Longer messages come in
/// several frames.
const FRAME_MAX: u32 = 16 * 1024;
/// Between two attempts to connect. The jitter keeps the clients of a broker that restarts
/// from coming back at once.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10))
    .unwrap()
    .lengthened_by(100);

/// What went wrong with the broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker or the way to it.
    ///
    /// Not a source of the error: its text is in this one's already.
    #[error("broker: {0}")]
    Amqp(lapin::Error),
    /// The broker did not answer in time.
    #[error("broker did not answer in time: {0}")]
    Timeout(&'static str),
    /// The broker did not take a message.
    #[error("broker refused the message: {0}")]
    Refused(String),
    /// The stream of deliveries ended: the queue is gone or the connection is.
    #[error("broker ended the subscription")]
    Cancelled,
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        Self::Amqp(error)
    }
}

/// Waits for what the broker answers, and not for ever: until it is noticed that a
/// peer is gone, every answer would stay away. `what` shows in the error.
///
/// # Errors
/// Those of `asked`; [`BrokerError::Timeout`].
pub(crate) async fn answered<T, E: Into<BrokerError>>(
    what: &'static str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(ANSWER_TIMEOUT, asked)
        .await
        .map_err(|_| BrokerError::Timeout(what))?
        .map_err(Into::into)
}

/// Where the broker is.
#[derive(Clone)]
pub struct BrokerConfig {
    uri: AMQPUri,
    name: String,
}

/// Never shows the password.
impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("vhost", &self.uri.vhost)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Text that is no broker URL. Does not show the text: it may have a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no broker URL: amqp://user:password@host:5672/vhost")]
pub struct InvalidBrokerUrl;

impl BrokerConfig {
    /// The broker of `AMQP_URL`; `name` shows in the broker's list of connections.
    ///
    /// # Errors
    /// The variable is missing or is no URL.
    pub fn from_environment(environment: &Environment, name: &str) -> Result<Self, ConfigError> {
        const NAME: &str = "AMQP_URL";
        let url = environment.required(NAME, "amqp://user:password@host:5672/vhost")?;
        if let Some(hint) = hint_of_server_url(&url) {
            return Err(ConfigError::new(NAME, hint));
        }
        Self::parse(&url, name).map_err(|error| ConfigError::new(NAME, error.to_string()))
    }

    /// The broker of a URL.
    ///
    /// # Errors
    /// The text is no URL of scheme `amqp` or `amqps`.
    pub fn parse(url: &str, name: &str) -> Result<Self, InvalidBrokerUrl> {
        let mut uri: AMQPUri = url.parse().map_err(|_| InvalidBrokerUrl)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        Ok(Self {
            uri,
            name: name.to_owned(),
        })
    }

    /// Connects once.
    ///
    /// # Errors
    /// The broker is not there, does not answer in time or refuses.
    pub async fn connect(&self) -> Result<Connection, BrokerError> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        tokio::time::timeout(
            CONNECT_TIMEOUT,
            attempt::connect(self.uri.clone(), properties),
        )
        .await
        .map_err(|_| BrokerError::Timeout("connect"))?
        .map_err(BrokerError::from)
    }
}

/// The waits between attempts: from 100 ms to 10 s, with jitter. A success starts them anew.
#[derive(Debug)]
pub(crate) struct RetryDelay {
    failures: u32,
    jitter: Jitter,
}

impl RetryDelay {
    pub(crate) fn new() -> Self {
        Self {
            failures: 0,
            jitter: Jitter::of_system(std::process::id().into()),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next attempt. Returns `false` if `stop` is cancelled first.
    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        self.failures = self.failures.saturating_add(1);
        let delay = RECONNECT.wait(self.failures, self.jitter.next());
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_refused_without_showing_it() {
        let error = BrokerConfig::parse("http://user:s3cret@host", "test").unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let config = BrokerConfig::parse("amqp://user:s3cret@host:1/v", "test").unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stays_away_is_given_up() {
        let never = std::future::pending::<Result<(), BrokerError>>();
        let error = answered("declare", never).await.unwrap_err();
        assert_eq!(error.to_string(), "broker did not answer in time: declare");
    }

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_an_error() {
        let config = BrokerConfig::parse("amqp://127.0.0.1:1/%2f", "test").unwrap();
        assert!(config.connect().await.is_err());
    }
}
