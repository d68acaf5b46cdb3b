//! What the closed and the open loops of sign-ins measured.

use std::time::Duration;

use devstack::ServiceId;

use crate::load::Measurement;
use crate::machine::Resident;

/// The closed loop.
pub struct Closed {
    /// Forms of the sign-in page, which begin the sign-ins.
    pub begun: Measurement,
    /// Callbacks.
    pub callbacks: Measurement,
    /// Callbacks until the accounts were committed.
    pub committed: Measurement,
    /// Accounts per second, from the first callback to the last account.
    pub accounts_rate: f64,
    /// Processor time of each program for each sign-in, until all accounts were committed.
    pub processor: Vec<(&'static str, Duration)>,
    /// Memory of the services afterwards.
    pub memory: Vec<(ServiceId, Resident)>,
}

/// Callbacks at a fixed rate.
pub struct Open {
    /// Callbacks per second.
    pub rate: f64,
    /// Callbacks.
    pub callbacks: Measurement,
    /// Callbacks until the accounts were committed.
    pub committed: Measurement,
}
