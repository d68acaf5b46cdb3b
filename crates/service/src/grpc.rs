//! Mutual TLS between the services (R36): certificates that are read again when
//! their files change, who is at the other end, and the gate that judges it.

mod files;
mod follow;
mod gate;
mod incoming;
mod outgoing;
mod pattern;
mod peer;
mod tls;

pub use gate::{
    Admission, CALLER_NOT_ALLOWED, CALLER_UNKNOWN, Gate, Gated, caller_not_allowed, caller_unknown,
};
pub use incoming::{Connection, Refused, incoming};
pub use outgoing::Outgoing;
pub use pattern::{InvalidPattern, Pattern};
pub use peer::{Peer, PeerCertificate};
pub use tls::{ClientCertificate, Tls, server_tls};
