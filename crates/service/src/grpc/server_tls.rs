//! TLS whose certificates are replaced while it runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use latchkey_config::{ConfigError, Environment};
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::pems::Pems;
use crate::file_watch;

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
pub struct ServerTls {
    current: Arc<ArcSwap<ServerConfig>>,
    environment: Environment,
    client: ClientCertificate,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
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
pub fn server_tls(environment: &Environment) -> Result<ServerTls, ConfigError> {
    ServerTls::new(environment, ClientCertificate::Required)
}

impl ServerTls {
    /// TLS of the certificates that the environment names.
    ///
    /// # Errors
    /// One of them is missing, is no PEM, or they do not go together.
    pub fn new(environment: &Environment, client: ClientCertificate) -> Result<Self, ConfigError> {
        let config = Pems::of_server(environment, client)?.server_config(client)?;
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
    /// open stay as they are; handshakes use what is new.
    pub async fn watch_files(self, stop: CancellationToken) {
        let read = || Pems::of_server(&self.environment, self.client);
        file_watch::watch("gRPC server certificates", stop, read, |now| {
            self.current
                .store(Arc::new(now.server_config(self.client)?));
            Ok(())
        })
        .await;
    }
}
