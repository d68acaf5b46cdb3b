//! The development stack behind `cargo dev`; the end-to-end tests use it as a library.

pub mod browser;
pub mod build;
pub mod command;
pub mod grpcurl;
pub mod message_recorder;
pub mod monitoring;
pub mod polling;
pub mod providers;
pub mod servers;
pub mod stack;
pub mod status;
pub mod test;
pub mod up;
pub mod walkthrough;

pub use stack::{Options, ServiceId, Stack};
