//! The subcommands beside the server.

pub mod check;
pub mod keys;
