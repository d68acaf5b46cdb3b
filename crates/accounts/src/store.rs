//! The SQL of sync-svc: one file for each table or family of tables.
//!
//! Locks are taken in one order: inbox, member, account, credential, message channel,
//! calendar channel. A transaction that changes a channel holds the lock of its
//! account's row.

pub mod account;
pub mod channel;
pub mod credential;
pub mod grant_death;
pub mod inbox;
pub mod job;
pub mod member;
pub mod replaced_grant;
mod row;

/// The readiness check of the database: serving and consuming need a write.
pub const WRITE: &str = "UPDATE sync.readiness SET written_at = clock_timestamp()";
