//! refresh-svc: valid access tokens over gRPC, each grant refreshed once.
//!
//! The one service that can open a sealed token (R35).

pub mod app;
mod cache;
pub mod commands;
pub mod config;
pub mod engine;
mod grpc;
mod lane;
mod leaving;
mod numbers;
mod reseal;
mod snapshot;
mod store;
mod wake;

pub use app::Application;
pub use config::Config;

use latchkey_service::jitter;
