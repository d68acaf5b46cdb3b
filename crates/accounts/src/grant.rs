//! A grant: its content, and which parts of two grants of an account are kept. Pure
//! functions without I/O.

mod merge;
mod received;

pub use merge::{Death, Decision, Merged, Source, StoredGrants, decide};
pub use received::{Grant, Intent, Origin, Rank, SealedGrant};
