//! The address of the broker, and connecting to it.

use std::fmt;
use std::io;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use latchkey_config::{ConfigError, Environment, hint_of_server_url};

use super::connect::connect;
use super::error::BrokerError;

/// For TCP, TLS and the AMQP handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A lost peer is noticed within two heartbeats.
const HEARTBEAT_SECONDS: u16 = 10;
/// Longest frame, in bytes (AMQP 0-9-1, 2.3.5). The client keeps 64 of them in memory for
/// each connection: 8 MiB with the 128 KiB that RabbitMQ proposes. Longer messages come in
/// several frames.
const FRAME_MAX: u32 = 16 * 1024;

/// The address and the credentials of the broker.
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

/// The text is not the URL of a broker. It is not shown: it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a broker URL: amqp://user:password@host:5672/vhost")]
pub struct InvalidBrokerUrl;

impl BrokerConfig {
    /// The broker of `AMQP_URL`. The broker shows `name` in its list of connections.
    ///
    /// # Errors
    /// The variable is missing or is not a URL.
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
    /// The text is not a URL of scheme `amqp` or `amqps`.
    pub fn parse(url: &str, name: &str) -> Result<Self, InvalidBrokerUrl> {
        let mut uri: AMQPUri = url.parse().map_err(|_| InvalidBrokerUrl)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        Ok(Self {
            uri,
            name: name.to_owned(),
        })
    }

    /// Host and port of the broker.
    pub fn server(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    /// What an error of this broker means for an operator: it names the server and what can be
    /// checked, and no password.
    pub fn explain(&self, error: &BrokerError) -> String {
        let server = self.server();
        match error {
            BrokerError::Amqp(failure) => match failure.kind() {
                ErrorKind::IOError(reason) if reason.kind() == io::ErrorKind::ConnectionRefused => {
                    format!(
                        "connection refused by {server}: is RabbitMQ running there, and is this \
                         the host and the port that AMQP_URL should name?"
                    )
                }
                ErrorKind::ProtocolError(_) => format!(
                    "{server} refuses what the user {} of AMQP_URL asks for: {failure}",
                    self.uri.authority.userinfo.username
                ),
                _ => format!("{server}, the server of AMQP_URL: {failure}"),
            },
            other => format!("{server}, the server of AMQP_URL: {other}"),
        }
    }

    /// `<user>@<host>:<port><virtual host>`, without the password.
    pub fn target(&self) -> String {
        let authority = &self.uri.authority;
        let (user, host, port) = (
            &authority.userinfo.username,
            &authority.host,
            authority.port,
        );
        format!("{user}@{host}:{port}/{}", self.uri.vhost)
    }

    /// Name of the virtual host.
    pub fn virtual_host(&self) -> &str {
        &self.uri.vhost
    }

    /// Connects once.
    ///
    /// # Errors
    /// The broker cannot be reached, does not reply in time or refuses.
    pub async fn connect(&self) -> Result<Connection, BrokerError> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        tokio::time::timeout(CONNECT_TIMEOUT, connect(self.uri.clone(), properties))
            .await
            .map_err(|_| BrokerError::Timeout("connect"))?
            .map_err(BrokerError::from)
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

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_an_error() {
        let config = BrokerConfig::parse("amqp://127.0.0.1:1/%2f", "test").unwrap();
        assert!(config.connect().await.is_err());
    }
}
