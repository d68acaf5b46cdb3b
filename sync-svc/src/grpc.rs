//! `latchkey.account.v1.AccountService` over mutual TLS.

mod callers;
mod convert;
mod page;
mod service;
mod status;

use std::net::TcpListener;
use std::time::Duration;

use latchkey_proto::FILE_DESCRIPTOR_SET;
use latchkey_proto::account::account_service_server::AccountServiceServer;
use latchkey_service::StartError;
use latchkey_service::grpc::{Gate, Tls};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

pub use callers::{Allowed, Callers};
pub use service::AccountServer;

/// A call that takes longer is given up.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Calls that run at shut-down get this long; streams of health never end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is silent is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Connections are made anew after this, so that new certificates count.
const OLDEST_CONNECTION: Duration = Duration::from_mins(30);

/// When it ends.
#[derive(Debug)]
pub struct Ending {
    /// It is asked to: callers should go elsewhere.
    pub asked: CancellationToken,
    /// No new calls.
    pub stop: CancellationToken,
}

/// Serves the account service to `callers`, and health and reflection, until it ends.
///
/// # Errors
/// The listener or the certificates cannot be used.
pub async fn serve(
    listener: TcpListener,
    tls: Tls,
    callers: Callers,
    service: AccountServer,
    Ending { asked, stop }: Ending,
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
    let incoming = latchkey_service::grpc::incoming(listener, tls, stop.clone(), |refused| {
        tracing::warn!(
            address = %refused.address,
            problem = refused.problem,
            "a caller was not let in"
        );
    });
    let serving = Server::builder()
        .timeout(CALL_TIMEOUT)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .max_connection_age(OLDEST_CONNECTION)
        .layer(Gate(callers))
        .add_service(health)
        .add_service(reflection)
        .add_service(AccountServiceServer::new(service))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let out_of_time = async {
        asked.cancelled().await;
        // Whoever watches goes elsewhere.
        reporter
            .set_not_serving::<AccountServiceServer<AccountServer>>()
            .await;
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        served = serving => served.map_err(StartError::other),
        () = out_of_time => Ok(()),
    }
}
