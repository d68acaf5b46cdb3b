//! Mutual TLS between the services (R36): certificates that are read again when
//! their files change, who is at the other end, and the gate that judges it.

mod error;
mod files;
mod gate;
mod incoming;
mod outgoing;
mod pattern;
mod peer;
mod server;
mod tls;

pub use error::{CallError, DOMAIN};
pub use gate::{Admission, Gate, Gated, caller_not_allowed, caller_unknown};
pub use incoming::{Connection, Refused, incoming};
pub use outgoing::Outgoing;
pub use pattern::{InvalidPattern, Pattern};
pub use peer::{Peer, PeerCertificate};
pub use server::{GrpcServer, Stopping};
pub use tls::{ClientCertificate, Tls, server_tls};
