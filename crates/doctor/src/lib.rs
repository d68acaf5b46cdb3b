//! `latchkey doctor`: finds out why a deployment, or one person's sign-in or mailbox, does not
//! work.
//!
//! A check is one file of `checks/`. Its `look` gathers facts, and its `judge`, which has no I/O,
//! turns them into findings. The checks run at the same time, each with its own deadline. A check
//! that needs something that another one has found broken says so instead of reporting what
//! follows from it. Each check words its own findings, and `wording.rs` has what they share.
//!
//! It changes nothing: statements read, queues are declared passively, and the requests to a
//! provider are an authorization request of which the page is not answered and a token request
//! with a code that does not exist.

mod arguments;
mod certificate;
mod check;
mod check_id;
mod checks;
mod database;
mod environment_source;
mod examination;
mod finding;
mod outcome;
mod progress;
mod report;
mod runbook;
mod service;
mod tls_peer;
mod wording;
mod world;

pub use arguments::Doctor;
pub use environment_source::EnvironmentSource;
pub use report::Report;
pub use runbook::Runbook;
pub use service::{OperatorPort, Service};
