//! auth-svc: sign-in with Google, Microsoft or any OpenID provider, sessions,
//! and the event that lets everything else follow.
//!
//! One request, one path: [`login::start`] sends the browser away with a
//! sealed flow cookie, [`login::callback`] opens it, exchanges the code,
//! verifies the ID token, and [`login::complete`] writes user, identity,
//! membership, session and outbox row in one transaction.

pub mod account;
pub mod app;
pub mod commands;
pub mod config;
pub mod http;
pub mod login;
pub mod random;
mod routes;
pub mod session;
pub mod state;
pub mod store;
pub mod workspace;

pub use app::Application;
pub use config::Config;
