//! The SQL of sync-svc.
//!
//! Locks are taken in one order: inbox, account, credential, message channel,
//! calendar channel. Whoever changes a channel holds its account's row.

pub mod account;
pub mod channel;
pub mod credential;
pub mod grant_death;
pub mod inbox;
pub mod job;
pub mod member;
pub mod replaced_grant;
mod row;

/// What says that the database is there: serving and consuming need a write.
pub const WRITE: &str = "UPDATE sync.readiness SET written_at = clock_timestamp()";
