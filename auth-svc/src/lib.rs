//! auth-svc: sign-in with Google, Microsoft or any OpenID provider, sessions,
//! and the event that lets everything else follow.
//!
//! One request, one path: [`login::authorize`] sends the browser away with a
//! sealed flow cookie, [`login::callback`] opens it, exchanges the code,
//! verifies the ID token, and [`store::sign_in`] writes user, identity,
//! membership, session and outbox row in one transaction.

mod admin;
pub mod app;
pub mod commands;
pub mod config;
pub mod event;
pub mod http;
pub mod login;
pub mod neighbours;
pub mod pages;
pub mod proof;
pub mod random;
pub mod session;
pub mod store;

pub use app::Application;
pub use config::Config;
