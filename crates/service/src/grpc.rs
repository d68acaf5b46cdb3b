//! Mutual TLS of the gRPC servers (R36): certificates that are read again when
//! their files change, and who is at the other end.

mod files;
mod incoming;
mod peer;
mod tls;

pub use incoming::{Connection, Refused, incoming};
pub use peer::{Peer, PeerCertificate};
pub use tls::{ClientCertificate, Tls, server_tls};
