//! The channel to another service, over mutual TLS.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use latchkey_config::{ConfigError, ConfigErrors, Environment};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::pems::Pems;
use crate::file_watch;

/// The channel to another service. It connects with the first call, reconnects after the
/// connection is lost, and uses a new connection when the certificates change. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientChannel {
    plain: Endpoint,
    current: Arc<ArcSwap<Target>>,
    /// What the first target was made from.
    pems: Arc<Pems>,
    environment: Environment,
}

#[derive(Debug)]
struct Target {
    endpoint: Endpoint,
    channel: OnceLock<Channel>,
}

impl Target {
    fn new(pems: &Pems, plain: &Endpoint) -> Result<Self, ConfigError> {
        Ok(Self {
            endpoint: pems.endpoint(plain.clone())?,
            channel: OnceLock::new(),
        })
    }
}

impl ClientChannel {
    /// A channel to `plain` with the client certificate in `GRPC_CLIENT_CERT` and
    /// `GRPC_CLIENT_KEY` and the trusted authority in `GRPC_CLIENT_CA` (PEM, usually from files).
    ///
    /// # Errors
    /// One of them is missing, is not PEM, or they cannot be used together.
    pub fn new(environment: &Environment, plain: Endpoint) -> Result<Self, ConfigErrors> {
        let pems = Pems::of_client(environment)?;
        let target = Target::new(&pems, &plain)?;
        Ok(Self {
            plain,
            current: Arc::new(ArcSwap::from_pointee(target)),
            pems: Arc::new(pems),
            environment: environment.clone(),
        })
    }

    /// The channel for the next call.
    pub fn channel(&self) -> Channel {
        let target = self.current.load();
        let connect = || target.endpoint.connect_lazy();
        target.channel.get_or_init(connect).clone()
    }

    /// Watches the files until `stop`. Running calls are not affected; the next call connects with
    /// the new certificates.
    pub async fn watch_files(self, stop: CancellationToken) {
        let read = || Pems::of_client(&self.environment).map(Arc::new);
        file_watch::watch("gRPC client certificates", stop, self.pems, read, |now| {
            self.current.store(Arc::new(Target::new(now, &self.plain)?));
            Ok(())
        })
        .await;
    }
}
