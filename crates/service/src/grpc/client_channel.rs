//! The channel to another service, over mutual TLS.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use super::bearer_token::BearerToken;
use super::pems::Pems;
use super::traced_channel::TracedChannel;
use crate::file_watch;

/// A channel over which each call has a span, and the token of this service, if it has one.
pub type AuthorizedChannel = InterceptedService<TracedChannel, BearerToken>;

/// The channel to another service. It connects with the first call, reconnects after the
/// connection is lost, and uses a new connection when the certificates or the token change. Cheap
/// to clone.
#[derive(Debug, Clone)]
pub struct ClientChannel {
    plain: Endpoint,
    current: Arc<ArcSwap<Target>>,
    /// What the first target was made from.
    credentials: Arc<Credentials>,
    environment: Environment,
}

/// What identifies this service to the other one, as it was read at one time.
#[derive(Debug, PartialEq)]
struct Credentials {
    pems: Pems,
    token: BearerToken,
}

impl Credentials {
    fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let pems = Pems::of_client(environment);
            let token = BearerToken::from_environment(environment);
        }
        Ok(Self { pems, token })
    }
}

#[derive(Debug)]
struct Target {
    endpoint: Endpoint,
    channel: OnceLock<Channel>,
    token: BearerToken,
}

impl Target {
    fn new(credentials: &Credentials, plain: &Endpoint) -> Result<Self, ConfigError> {
        Ok(Self {
            endpoint: credentials.pems.endpoint(plain.clone())?,
            channel: OnceLock::new(),
            token: credentials.token.clone(),
        })
    }
}

impl ClientChannel {
    /// A channel to `plain` with the client certificate in `GRPC_CLIENT_CERT` and
    /// `GRPC_CLIENT_KEY`, the trusted authority in `GRPC_CLIENT_CA` (PEM, usually from files), and
    /// the token in `GRPC_CLIENT_TOKEN`, if it is set.
    ///
    /// # Errors
    /// One of the first three is missing or is not PEM, they cannot be used together, or the token
    /// is not a token.
    pub fn new(environment: &Environment, plain: Endpoint) -> Result<Self, ConfigErrors> {
        let credentials = Credentials::from_environment(environment)?;
        let target = Target::new(&credentials, &plain)?;
        Ok(Self {
            plain,
            current: Arc::new(ArcSwap::from_pointee(target)),
            credentials: Arc::new(credentials),
            environment: environment.clone(),
        })
    }

    /// The channel for the next call.
    pub fn channel(&self) -> AuthorizedChannel {
        let target = self.current.load();
        let connect = || target.endpoint.connect_lazy();
        let channel = target.channel.get_or_init(connect).clone();
        let traced = TracedChannel::new(channel, target.endpoint.uri());
        InterceptedService::new(traced, target.token.clone())
    }

    /// Watches the files until `stop`, and measures until when the certificates are valid. Running
    /// calls are not affected; the next call connects with the new certificates and has the new
    /// token.
    pub async fn watch_files(self, stop: CancellationToken) {
        let what = "gRPC client certificates and token";
        self.credentials.pems.measure_of_client();
        let read = || Credentials::from_environment(&self.environment).map(Arc::new);
        file_watch::watch(what, stop, self.credentials, read, |now| {
            self.current.store(Arc::new(Target::new(now, &self.plain)?));
            now.pems.measure_of_client();
            Ok(())
        })
        .await;
    }
}
