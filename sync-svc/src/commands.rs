//! Commands for operators: parked and unrouted messages, failed channels, the audit.

pub mod audit;
pub mod channels;
pub mod parked;
