//! sync-svc as it runs, against a real broker and a real database, through its
//! public interface: events on the exchange and gRPC.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails in a helper fails its test"
)]

mod connect;
mod facts;
mod faults;
mod grpc;
mod interleavings;
mod lifecycle;
mod orders;
mod reconnect;
mod stack;
mod sweep;
mod world;
