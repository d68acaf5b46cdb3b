//! Sessions: who is signed in, the tokens of front ends, and signing out.

pub mod access_token;
pub mod backchannel_logout;
pub mod config;
pub mod cookie;
pub mod end_session;
pub mod handover;
pub mod id_token_hint;
pub mod lookup;
pub mod metadata;
pub mod refresh_cookie;
pub mod responses;
pub mod routes;
pub mod script;
pub mod sign_out;
pub mod token_endpoint;
pub mod token_pair;
pub mod user_agent;

pub use latchkey_signing_keys as keys;
