//! refresh-svc: valid access tokens over gRPC. Each grant is refreshed once.
//!
//! This is the only service that can open a sealed token (R35).

pub mod app;
mod cache;
mod change_notifications;
pub mod commands;
pub mod config;
mod disconnect_requests;
pub mod engine;
mod grpc;
mod metrics;
mod reseal;
mod snapshot;
mod store;
mod upstream;

pub use app::Application;
pub use config::Config;
