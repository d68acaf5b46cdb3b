//! sync-svc as it runs, against a real broker and a real database, through its
//! public interface: events on the exchange and gRPC.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails in a helper fails its test"
)]

mod absence;
mod connect;
mod ends;
mod facts;
mod faults;
mod grpc;
mod handles;
mod health;
mod interleavings;
mod lifecycle;
mod one_connection;
mod orders;
mod outage;
mod policy;
mod reconnect;
mod removal;
mod stack;
mod sweep;
mod unrouted;
mod world;
