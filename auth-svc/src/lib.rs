//! auth-svc: sign-in with Google, Microsoft or any OpenID provider, sessions, and the event
//! that the other services follow.
//!
//! A sign-in has three steps: [`login::start`] sends the browser to the provider with a
//! sealed flow cookie. [`login::callback`] opens the cookie, exchanges the code and
//! verifies the ID token. [`login::complete`] writes user, identity, membership, session
//! and event in one transaction.

pub mod account;
pub mod app;
pub mod config;
pub mod flow_keys;
pub mod http;
pub mod login;
mod routes;
pub mod secret;
pub mod session;
pub mod state;
pub mod store;
pub mod workspace;

pub use app::Application;
pub use config::Config;
pub use latchkey_workspaces::random;
