//! Tests against the demo provider over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "demo/client_authentication.rs"]
mod client_authentication;
#[path = "demo/conformance.rs"]
mod conformance;
#[path = "demo/id_token.rs"]
mod id_token;
#[path = "demo/interoperability.rs"]
mod interoperability;
#[path = "demo/sign_in.rs"]
mod sign_in;
#[path = "demo/support.rs"]
mod support;
#[path = "demo/tokens.rs"]
mod tokens;
