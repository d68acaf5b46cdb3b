//! Tests of auth-svc over its public interfaces. Each test runs the application on a free
//! port, with a real PostgreSQL and the demo provider.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure in a helper fails its test"
)]

mod audit;
mod authentication_context;
mod backchannel_logout;
mod client_authentication;
mod client_generators;
mod commands;
mod configuration;
mod conformance;
mod connect_another_account;
mod connections_page;
mod consent;
mod custom_domain;
mod domain_policy;
mod end_session;
mod error_pages;
mod graceful_shutdown;
mod handover;
mod health;
mod invitations;
mod limits;
mod logging;
mod members;
mod metrics;
mod offline_access;
mod openapi;
mod outbox;
mod pages;
mod provider_errors;
mod pushed_authorization;
mod refresh_tokens;
mod refusal_codes;
mod retention;
mod return_location;
mod review_page;
mod sessions;
mod sign_in;
mod sign_in_page;
mod sign_out;
mod signing_keys;
mod statements;
mod support;
mod unresponsive_database;
mod verification_link;
mod workspace_domains;
mod workspace_roles;
