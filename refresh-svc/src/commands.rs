//! Subcommands besides the server.

pub mod audit;
pub mod check;
pub mod keys;
