//! Clocks of the services.

use crate::environment::Environment;
use crate::part::Target;

/// Sets how far the clock of a service is ahead, in seconds.
pub(super) fn set(environment: &Environment, target: Target, ahead: i64) -> anyhow::Result<()> {
    environment.clocks.set(target, ahead)
}
