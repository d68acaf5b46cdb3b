//! refresh-svc as its callers see it: gRPC over mutual TLS, a real PostgreSQL, and a
//! provider that answers over HTTP. One file per property.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod always_valid;
mod audit_partitions;
mod authorization;
mod batch;
mod cache;
mod caller_limits;
mod certificates;
mod circuit_breaker;
mod client_authentication;
mod crash;
mod database_outage;
mod database_restart;
mod dead_grants;
mod disconnect;
mod errors;
mod grant_expiry;
mod handles;
mod keys;
mod local_failures;
mod member_removal;
mod one_connection;
mod outgoing_proxy;
mod policy_refusals;
mod revocation_race;
mod rolling_restarts;
mod rotation;
mod rust_client;
mod scopes;
mod sealing;
mod service_accounts;
mod shutdown;
mod single_flight;
mod slow_provider;
mod statements;
mod store_outage;
mod storm;
mod support;
mod transport;
mod verdict_table;
mod verdicts;
mod watch;
