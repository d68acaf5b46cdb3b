//! The state of a channel and its transitions: a state machine without I/O.

mod kind;
mod state;
mod transition;

pub use kind::{InvalidKind, Kind, Stage, SyncStatus};
pub use state::{Channel, LastFailure, THROTTLE_LIMIT, THROTTLE_MAX, THROTTLE_MIN};
pub use transition::{Failure, Input, InvalidTransition};
