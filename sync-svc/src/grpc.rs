//! `latchkey.account.v1.AccountService` over mutual TLS.

mod convert;
mod page;
mod service;
mod status;

use std::net::TcpListener;

use latchkey_proto::FILE_DESCRIPTOR_SET;
use latchkey_proto::account::account_service_server::AccountServiceServer;
use latchkey_service::StartError;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, ServerTlsConfig};

pub use service::AccountServer;

/// Serves the account service, health and reflection until `stop`.
///
/// # Errors
/// The listener or the certificates cannot be used.
pub async fn serve(
    listener: TcpListener,
    tls: ServerTlsConfig,
    service: AccountServer,
    stop: CancellationToken,
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
    Server::builder()
        .tls_config(tls)
        .map_err(StartError::other)?
        .add_service(health)
        .add_service(reflection)
        .add_service(AccountServiceServer::new(service))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
        .await
        .map_err(StartError::other)
}
