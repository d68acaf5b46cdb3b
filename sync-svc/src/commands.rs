//! The operator's commands.

pub mod channels;
pub mod parked;
