//! The SQL of sync-svc.
//!
//! Locks are taken in one order: inbox, account, credential, message channel,
//! calendar channel. Whoever changes a channel holds its account's row.

pub mod account;
pub mod channel;
pub mod credential;
pub mod inbox;
pub mod job;
pub mod member;

/// What says that the database is there: serving and consuming need a write.
pub const WRITE: &str = "UPDATE sync.readiness SET written_at = clock_timestamp()";

/// A statement for the table of a kind of channel.
macro_rules! per_kind {
    ($kind:expr, $before:literal, $after:literal) => {
        match $kind {
            $crate::channel::Kind::Message => concat!($before, "sync.message_channel", $after),
            $crate::channel::Kind::Calendar => concat!($before, "sync.calendar_channel", $after),
        }
    };
}
pub(crate) use per_kind;
