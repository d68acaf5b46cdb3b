//! The development stack: `cargo dev`. End-to-end tests run it too.

pub mod bench;
pub mod browser;
pub mod build;
pub mod exchange;
pub mod patience;
pub mod providers;
pub mod servers;
pub mod stack;
pub mod status;
pub mod test;
pub mod trail;
pub mod up;

pub use stack::{Options, Part, Stack};
