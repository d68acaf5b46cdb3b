//! auth-svc from the outside: the running application on port 0, a real
//! PostgreSQL and the demo provider.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails in a helper fails its test"
)]

mod changes;
mod commands;
mod configuration;
mod conformance;
mod connect_another_account;
mod consent;
mod crm;
mod custom_domain;
mod domain_policy;
mod doors;
mod handover;
mod health;
mod helpers;
mod invitations;
mod limits;
mod logging;
mod members;
mod neighbours;
mod numbers;
mod openapi;
mod outbox;
mod pages;
mod provider_errors;
mod redirect;
mod refresh_tokens;
mod sessions;
mod sign_in;
mod sign_in_page;
mod sign_out;
mod signing_keys;
mod silent_database;
mod stopping;
mod verification_link;
mod ways_on;
mod workspace_domains;
mod workspace_roles;
