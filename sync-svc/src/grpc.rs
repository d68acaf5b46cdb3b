//! `latchkey.account.v1.AccountService` over mutual TLS.

mod callers;
mod convert;
mod judge;
mod page;
mod service;
mod status;

use std::time::Duration;

use latchkey_policy::Gate;
use latchkey_proto::FILE_DESCRIPTOR_SET;
use latchkey_proto::account::account_service_server::AccountServiceServer;
use latchkey_service::StartError;
use latchkey_service::grpc::GrpcServer;

pub use callers::policy;
pub use service::AccountServer;

/// A call that takes longer is given up.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// The gRPC server: the account service behind the gate, health and reflection.
///
/// # Errors
/// The descriptors of the contract cannot be read.
pub fn server(service: AccountServer, gate: Gate) -> Result<GrpcServer<Gate>, StartError> {
    let service = AccountServiceServer::new(service);
    GrpcServer::new(service, gate, Some(CALL_TIMEOUT), FILE_DESCRIPTOR_SET)
}
