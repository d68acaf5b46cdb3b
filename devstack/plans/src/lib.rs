//! The plans of the statements that the services send, on a database with many accounts.
//!
//! The statements are those of real sign-ins, tokens, disconnects and clean-ups: PostgreSQL logs how
//! it executed each (`auto_explain`), so that none is a copy that could be out of date.
//! `tests/plans.rs` judges them with tens of thousands of accounts, and `cargo dev bench scale`
//! compares them at several sizes.

pub mod execution;
pub mod fill;
pub mod finding;
pub mod statement;
pub mod testbed;
mod workload;

pub use execution::{Execution, Node};
pub use finding::{Finding, judge};
pub use statement::{Statement, grouped, is_periodic};
pub use testbed::{Measurement, Testbed};
