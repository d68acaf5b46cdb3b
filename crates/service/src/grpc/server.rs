//! The set-up of a gRPC server, the same for every service: limits, keep-alive, traces, the
//! check of callers, health and reflection.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;
use tower::layer::util::{Identity, Stack};

use super::call_span::ServerSpanLayer;
use super::{AuthorizationLayer, Authorize, RejectedConnection, ServerTls, incoming};
use crate::StartError;

/// Concurrent calls of a connection; further ones wait.
const CALLS_PER_CONNECTION: u32 = 1024;
/// Bytes of a call's headers.
const MAX_HEADERS: u32 = 16 * 1024;
/// A silent connection is asked this often whether it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A connection that does not answer within this time is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections are closed after this time, so that callers spread over new replicas and show
/// their new certificates.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(30);
/// Calls that run when the server stops have this long to end. Streams may never end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A gRPC server that serves `grpc.health.v1` and reflection beside its own service.
pub struct GrpcServer<A> {
    router: Router<Stack<AuthorizationLayer<A>, Stack<ServerSpanLayer, Identity>>>,
    health: HealthReporter,
    service: &'static str,
}

impl<A> std::fmt::Debug for GrpcServer<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcServer")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// When a server stops. In between, proxies and callers learn that the replica is not ready, and it
/// serves as before.
///
/// Between the two, the server sends no GOAWAY frame (RFC 9113, section 6.8), for two reasons. A
/// caller that receives one opens a new connection at once, and that connection would reach this
/// replica again until every proxy knows that it is not ready. And the HTTP/2 client of Rust cancels
/// the calls that it has not sent yet when the frame arrives; a caller that does not repeat them
/// fails. When the listener closes, the server sends GOAWAY frames in two steps, so that it still
/// answers the calls that a caller sent before it received the last one.
#[derive(Debug, Clone)]
pub struct Stopping {
    /// The service was asked to stop: health says that it does not serve any more.
    pub asked: CancellationToken,
    /// The listener closes, and callers are told to use another connection.
    pub stop: CancellationToken,
}

impl<A> GrpcServer<A>
where
    A: Authorize + Clone + Send + Sync + 'static,
{
    /// A server of `service`, every call to which `authorizer` checks. A call that takes longer
    /// than `call_timeout` fails; without one, the service has deadlines of its own. Reflection
    /// shows the service's own part of the contract.
    ///
    /// # Errors
    /// The descriptors of the contract cannot be read.
    pub fn new<S>(
        service: S,
        authorizer: A,
        call_timeout: Option<Duration>,
    ) -> Result<Self, StartError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let descriptors = latchkey_proto::descriptors_of(S::NAME);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(&descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let reflection_v1 = reflection().build_v1().map_err(StartError::other)?;
        // Many tools still ask for this version only.
        let reflection_v1alpha = reflection().build_v1alpha().map_err(StartError::other)?;
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut server = Server::builder()
            .max_concurrent_streams(CALLS_PER_CONNECTION)
            .http2_max_header_list_size(MAX_HEADERS)
            .max_connection_age(MAX_CONNECTION_AGE)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT));
        if let Some(timeout) = call_timeout {
            server = server.timeout(timeout);
        }
        let router = server
            .layer(ServerSpanLayer::of(S::NAME))
            .layer(AuthorizationLayer(authorizer))
            .add_service(service)
            .add_service(health_service)
            .add_service(reflection_v1)
            .add_service(reflection_v1alpha);
        Ok(Self {
            router,
            health,
            service: S::NAME,
        })
    }

    /// Serves over mutual TLS until it stops. `refused` is called for each caller whose
    /// certificate is not valid. Calls that still run some time after the stop are cut off.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub async fn serve(
        self,
        listener: std::net::TcpListener,
        tls: ServerTls,
        Stopping { asked, stop }: Stopping,
        refused: impl Fn(RejectedConnection) + Send + Sync + 'static,
    ) -> Result<(), StartError> {
        let Self {
            router,
            health,
            service,
        } = self;
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(|error| StartError::io("GRPC_LISTEN", error))?;
        let connections = incoming(listener, tls, stop.clone(), refused);
        let served =
            router.serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
        health
            .set_service_status(service, ServingStatus::Serving)
            .await;
        let overdue = async {
            asked.cancelled().await;
            health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
            stop.cancelled().await;
            tokio::time::sleep(DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            served = served => served.map_err(StartError::other),
            () = overdue => {
                tracing::warn!("calls are cut off: they took too long to end");
                Ok(())
            }
        }
    }
}
