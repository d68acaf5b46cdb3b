//! Sign-in: one file for each step, and the pages and messages that belong to it.

pub mod admission;
pub mod agreement;
pub mod authorization_error;
pub mod callback;
pub mod client_jwks;
pub mod complete;
pub mod connect;
pub mod consent;
pub mod context;
pub mod described_workspace;
pub mod destination;
pub mod error_messages;
pub mod event;
pub mod flow;
pub mod flow_cookie;
pub mod form;
pub mod initiate;
pub mod next_steps;
pub mod notice;
pub mod open;
pub mod open_flows;
pub mod openapi;
pub mod outcome;
pub mod parameters;
pub mod provider_links;
pub mod redirect;
pub mod review_page;
pub mod routes;
pub mod sign_in_link;
pub mod sign_in_page;
pub mod start;
pub mod start_parameter;
pub mod used_flow;
pub mod welcome_page;
pub mod workspace_choice;

pub use latchkey_workspaces::{domain_list, domain_policy};
