//! Connected accounts, their grants and channels: the rules, and the SQL of the schema `sync`.
//! sync-svc and the commands for operators share them.

pub mod channel;
pub mod channel_events;
pub mod grant;
pub mod store;
pub mod sync_reports;
