//! Subcommands besides the server.

pub mod check;
pub mod keys;
