//! sync-svc turns sign-ins into connected accounts, channels and first sync jobs, and
//! records what the workers report.

pub mod app;
pub mod cleanup;
pub mod config;
pub mod connect;
pub mod consumer;
pub mod grant_events;
pub mod grpc;
pub mod member_removal;
pub mod sweep;

pub use app::Application;
pub use config::Config;
pub use latchkey_accounts::{channel, channel_events, grant, store, sync_reports};
