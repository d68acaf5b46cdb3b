//! Helpers of the tests: sync-svc with a database and a broker of its own, people who
//! sign in, and histories of an account.

pub mod history;
pub mod operator;
pub mod person;
pub mod service;
