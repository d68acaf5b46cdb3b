//! TLS of a server, whose certificates are replaced while it runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use latchkey_config::{ConfigErrors, Environment};
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::pems::{ClientCertificate, Pems};
use crate::file_watch;

/// TLS of a server. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<ArcSwap<ServerConfig>>,
    /// What the first configuration was made from.
    pems: Arc<Pems>,
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

impl ServerTls {
    /// TLS with the certificate in `GRPC_TLS_CERT` and `GRPC_TLS_KEY`, for clients with a
    /// certificate of `GRPC_TLS_CLIENT_CA` (PEM, usually from files: `GRPC_TLS_CERT_FILE` and so
    /// on).
    ///
    /// # Errors
    /// One of them is missing, is not PEM, or they do not match.
    pub fn new(environment: &Environment, client: ClientCertificate) -> Result<Self, ConfigErrors> {
        let pems = Pems::of_server(environment, client)?;
        let config = pems.server_config(client)?;
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(config)),
            pems: Arc::new(pems),
            environment: environment.clone(),
            client,
        })
    }

    /// The configuration for the next handshake.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Watches the files until `stop`, and measures until when the certificates are valid. Open
    /// connections are not affected; new handshakes use the new certificates.
    pub async fn watch_files(self, stop: CancellationToken) {
        self.pems.measure_of_server();
        let read = || Pems::of_server(&self.environment, self.client).map(Arc::new);
        file_watch::watch("gRPC server certificates", stop, self.pems, read, |now| {
            self.current
                .store(Arc::new(now.server_config(self.client)?));
            now.measure_of_server();
            Ok(())
        })
        .await;
    }
}
