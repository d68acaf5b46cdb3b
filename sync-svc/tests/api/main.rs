//! sync-svc as it runs, against a real broker and a real database, through its
//! public interface: events on the exchange and gRPC.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails in a helper fails its test"
)]

mod cleanup;
mod connect;
mod database_outage;
mod event_order;
mod faults;
mod grant_events;
mod grpc;
mod handles;
mod health;
mod interleavings;
mod member_removal;
mod one_connection;
mod policy;
mod queues;
mod reconnect;
mod replaced_grants;
mod statements;
mod support;
mod sweep;
mod unrouted;
mod worker_absence;
