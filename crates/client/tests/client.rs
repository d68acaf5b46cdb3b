//! Tests of the properties of `latchkey-client` against a fake TokenService over real
//! mutual TLS.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic, and its helpers are no #[test]"
)]

mod authorize;
mod cache;
mod certificates;
mod errors;
mod outage;
mod replace_after_401;
mod retry;
mod secrets;
mod single_flight;
mod support;
mod watch;
