//! The subcommands that an operator runs by hand.

pub mod keys;
pub mod redirect_uris;
pub mod workspace;
