//! What an operator runs by hand.

pub mod redirect_uris;
pub mod workspace;
