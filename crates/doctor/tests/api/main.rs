//! `latchkey doctor` against a real database, a real broker, the demo provider and a running
//! auth-svc.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod broken;
mod deployments;
mod healthy;
mod output;
mod people;
mod support;
