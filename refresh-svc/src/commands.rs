//! The subcommands beside the server.

pub mod audit;
pub mod check;
pub mod keys;
