//! refresh-svc as its callers see it: gRPC over mutual TLS, a real PostgreSQL,
//! a provider that answers over HTTP. A file per promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod always_valid;
mod batch;
mod certificates;
mod circuit;
mod dead_grants;
mod disconnect;
mod ends;
mod errors;
mod handles;
mod kept;
mod keys;
mod killed;
mod leaving;
mod memory;
mod once;
mod one_connection;
mod outage;
mod own_trouble;
mod refused;
mod restart;
mod restarts;
mod revoke_race;
mod rotation;
mod rust_client;
mod scopes;
mod sealed;
mod service_accounts;
mod shares;
mod stopping;
mod storm;
mod support;
mod transport;
mod trouble;
mod verdict_table;
mod verdicts;
mod watch;
mod who_may;
