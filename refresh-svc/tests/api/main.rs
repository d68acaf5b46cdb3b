//! refresh-svc as its callers see it: gRPC over mutual TLS, a real PostgreSQL,
//! a provider that answers over HTTP. A file per promise.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod always_valid;
mod dead_grants;
mod disconnect;
mod errors;
mod once;
mod rotation;
mod rust_client;
mod sealed;
mod support;
mod transport;
