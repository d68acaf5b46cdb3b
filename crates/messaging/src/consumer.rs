//! Consumes a queue: at least once, with the acknowledgement after the handler's commit.
//!
//! If the handler asks for a retry, the message waits in one of the retry queues. A message
//! that cannot be handled at all is parked with the reason. While the handler is not available
//! ([`Handler::available`]), nothing is consumed and no attempt is counted. A message whose
//! handler's process dies is delivered again, alone: if it is what kills the process, it does
//! not affect others.

mod delivery;
mod error;
mod handler;
mod received;
mod session;
mod setup;

use tokio_util::sync::CancellationToken;

use crate::broker::RetryDelay;

pub use crate::topology::RetrySchedule;
pub use error::HandleError;
pub use handler::Handler;
pub use received::Received;
pub use setup::Consumer;

use session::{Session, SessionEnd};

impl Consumer {}
