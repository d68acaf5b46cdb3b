//! `latchkey.account.v1.AccountService` over mutual TLS.

mod authorization;
mod convert;
mod page;
mod policy;
mod service;
mod status;

use std::time::Duration;

use latchkey_policy::Authorizer;
use latchkey_proto::account::account_service_server::AccountServiceServer;
use latchkey_service::StartError;
use latchkey_service::grpc::GrpcServer;

pub use policy::policy;
pub use service::AccountServer;

/// A call that takes longer is cancelled.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The gRPC server: the account service, whose calls `authorizer` checks, health and
/// reflection.
///
/// # Errors
/// The descriptors of the contract cannot be read.
pub fn server(
    service: AccountServer,
    authorizer: Authorizer,
) -> Result<GrpcServer<Authorizer>, StartError> {
    let service = AccountServiceServer::new(service);
    GrpcServer::new(service, authorizer, Some(CALL_TIMEOUT))
}
