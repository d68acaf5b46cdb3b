//! gRPC between the services: mutual TLS (R36) whose certificates are reloaded when their files
//! change, the identity of the peer, the authorization of calls, and their errors.

mod authorization;
mod bearer_token;
mod call_span;
mod client_channel;
mod error;
mod incoming;
mod pattern;
mod peer;
mod pems;
mod server;
mod server_tls;
mod traced_channel;

pub use authorization::{
    AuthorizationLayer, AuthorizationService, Authorize, caller_not_allowed, caller_unknown,
};
pub use bearer_token::BearerToken;
pub use client_channel::{AuthorizedChannel, ClientChannel};
pub use error::CallError;
pub use incoming::{Connection, RejectedConnection, incoming};
pub use pattern::{InvalidPattern, Pattern};
pub use peer::{Peer, PeerCertificate};
pub use pems::ClientCertificate;
pub use server::{GrpcServer, Stopping};
pub use server_tls::ServerTls;
pub use traced_channel::TracedChannel;
