//! The development stack behind `cargo dev`; the end-to-end tests use it as a library.

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
