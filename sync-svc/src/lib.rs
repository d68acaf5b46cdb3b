//! sync-svc: turns sign-ins into connected accounts, channels and first sync
//! jobs, and follows the progress of the workers.

pub mod announce;
pub mod app;
pub mod channel;
pub mod channels;
pub mod config;
pub mod connect;
pub mod consumer;
pub mod grpc;
pub mod lifecycle;
pub mod parked;
pub mod progress;
pub mod removal;
pub mod store;
pub mod sweep;
mod wire;

pub use app::Application;
pub use config::Config;
