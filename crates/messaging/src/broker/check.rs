use async_trait::async_trait;
use lapin::Connection;
use latchkey_service::health::Check;
use tokio::sync::Mutex;

use super::config::BrokerConfig;

/// A readiness check that succeeds while a connection to the broker is open. It keeps its own
/// connection, so that frequent checks cost nothing.
#[derive(Debug)]
pub struct BrokerCheck {
    config: BrokerConfig,
    connection: Mutex<Option<Connection>>,
}

impl BrokerCheck {
    /// A check of the broker of `config`.
    pub fn new(config: BrokerConfig) -> Self {
        Self {
            config,
            connection: Mutex::new(None),
        }
    }
}

#[async_trait]
impl Check for BrokerCheck {
    fn name(&self) -> &'static str {
        "broker"
    }

    async fn check(&self) -> Result<(), String> {
        let mut held = self.connection.lock().await;
        if held.as_ref().is_some_and(|open| open.status().connected()) {
            return Ok(());
        }
        *held = None;
        let open = self
            .config
            .connect()
            .await
            .map_err(|error| error.to_string())?;
        *held = Some(open);
        Ok(())
    }
}
