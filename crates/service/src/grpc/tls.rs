//! TLS whose certificates are replaced while it runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use latchkey_config::{ConfigError, Environment};
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::files::Pems;

/// How often the files are looked at. Looking beats being told: it works on
/// every file system, and over the links that Kubernetes swaps.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether a caller must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// Nobody connects without one.
    #[default]
    Required,
    /// One that is shown must be good; none will do.
    Optional,
    /// None is asked for.
    NotAsked,
}

/// TLS of a server. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    current: Arc<ArcSwap<ServerConfig>>,
    environment: Environment,
    client: ClientCertificate,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// TLS of a server that takes only callers with a certificate of
/// `GRPC_TLS_CLIENT_CA`; its own are `GRPC_TLS_CERT` and `GRPC_TLS_KEY` (PEM,
/// usually from files: `GRPC_TLS_CERT_FILE` and so on).
///
/// # Errors
/// One of them is missing, is no PEM, or they do not go together.
pub fn server_tls(environment: &Environment) -> Result<Tls, ConfigError> {
    Tls::new(environment, ClientCertificate::Required)
}

impl Tls {
    /// TLS of the certificates that the environment names.
    ///
    /// # Errors
    /// One of them is missing, is no PEM, or they do not go together.
    pub fn new(environment: &Environment, client: ClientCertificate) -> Result<Self, ConfigError> {
        let config = Pems::read(environment, client)?.server_config(client)?;
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(config)),
            environment: environment.clone(),
            client,
        })
    }

    /// What the next handshake uses.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Looks at the files again and again until `stop`. Connections that are
    /// open stay as they are; handshakes use what is new. Files that do not go
    /// together, such as a certificate whose key is still to come, change
    /// nothing and are told once.
    pub async fn follow_files(self, stop: CancellationToken) {
        let mut seen = Pems::read(&self.environment, self.client).ok();
        let mut told = String::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let changed = Pems::read(&self.environment, self.client).and_then(|now| {
                if seen.as_ref() == Some(&now) {
                    return Ok(None);
                }
                let config = now.server_config(self.client)?;
                Ok(Some((now, config)))
            });
            match changed {
                Ok(None) => told.clear(),
                Ok(Some((now, config))) => {
                    self.current.store(Arc::new(config));
                    seen = Some(now);
                    told.clear();
                    tracing::info!("certificates were read again: new connections use them");
                }
                Err(error) => {
                    let problem = error.to_string();
                    if problem != told {
                        tracing::error!(%error, "new certificates cannot be used: the old ones stay");
                        told = problem;
                    }
                }
            }
        }
    }
}
