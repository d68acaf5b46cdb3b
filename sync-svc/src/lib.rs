//! sync-svc turns sign-ins into connected accounts, channels and first sync jobs, and
//! records what the workers report.

pub mod app;
pub mod channel;
pub mod channel_events;
pub mod commands;
pub mod config;
pub mod connect;
pub mod consumer;
pub mod grant;
pub mod grant_events;
pub mod grpc;
pub mod member_removal;
pub mod store;
pub mod sweep;
pub mod sync_reports;

pub use app::Application;
pub use config::Config;
