//! `latchkey.account.v1.AccountService` over mutual TLS.

mod authorization;
mod convert;
mod page;
mod policy;
mod service;
mod status;

use std::net::TcpListener;
use std::time::Duration;

use latchkey_policy::Authorizer;
use latchkey_proto::FILE_DESCRIPTOR_SET;
use latchkey_proto::account::account_service_server::AccountServiceServer;
use latchkey_service::StartError;
use latchkey_service::grpc::{self, Tls};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

pub use policy::policy;
pub use service::AccountServer;

/// A call that takes longer is cancelled.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// At shut-down running calls get this time. There is a limit because the health
/// service's streams never end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is checked at this interval.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Connections are closed at this age, so that clients connect again and new
/// certificates are checked.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(30);

/// The two steps of a shut-down.
#[derive(Debug)]
pub struct Shutdown {
    /// The shut-down was requested: health says `NOT_SERVING`, and calls are still
    /// answered.
    pub requested: CancellationToken,
    /// New calls are no longer accepted.
    pub stop: CancellationToken,
}

/// Serves the account service, whose calls `authorizer` checks, and health and
/// reflection, until the shut-down is complete.
///
/// # Errors
/// The listener or the certificates cannot be used.
pub async fn serve(
    listener: TcpListener,
    tls: Tls,
    authorizer: Authorizer,
    service: AccountServer,
    Shutdown { requested, stop }: Shutdown,
) -> Result<(), StartError> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(StartError::other)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<AccountServiceServer<AccountServer>>()
        .await;
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| StartError::io("GRPC_LISTEN", error))?;
    tokio::spawn(tls.clone().follow_files(stop.clone()));
    authorizer.follow(&stop);
    let recorder = authorizer.clone();
    let incoming = grpc::incoming(listener, tls, stop.clone(), move |refused| {
        recorder.record_failed_handshake(refused);
    });
    let serving = Server::builder()
        .timeout(CALL_TIMEOUT)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .max_connection_age(MAX_CONNECTION_AGE)
        .layer(grpc::Gate(authorizer))
        .add_service(health)
        .add_service(reflection)
        .add_service(AccountServiceServer::new(service))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let drained = async {
        requested.cancelled().await;
        // Clients that watch health choose another replica.
        reporter
            .set_not_serving::<AccountServiceServer<AccountServer>>()
            .await;
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        served = serving => served.map_err(StartError::other),
        () = drained => Ok(()),
    }
}
