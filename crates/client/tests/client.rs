//! The promises of `latchkey-client`, one test each, against a TokenService of
//! the test's own over real mutual TLS.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic, and its helpers are no #[test]"
)]

mod asking_again;
mod authorize;
mod certificates;
mod errors;
mod flights;
mod memory;
mod outage;
mod refused;
mod secrets;
mod support;
mod watch;
