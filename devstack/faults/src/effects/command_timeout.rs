//! The time limit of what a fault does itself.

use std::time::Duration;

/// How long rabbitmqctl, a statement or the messages of a fault may take.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);
