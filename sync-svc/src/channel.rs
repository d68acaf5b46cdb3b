//! What a channel can be and how it moves: a pure state machine.

mod kind;
mod transition;

use time::{Duration, OffsetDateTime};

pub use kind::{Kind, Stage, SyncStatus};
pub use transition::{Failure, Input, Refused};

/// Retryable failures in a row after which a channel has failed.
pub const THROTTLE_LIMIT: i32 = 8;
/// First wait after a retryable failure; doubles with every further one.
pub const THROTTLE_MIN: Duration = Duration::minutes(1);
/// Longest wait that a worker may ask for or that doubling reaches.
pub const THROTTLE_MAX: Duration = Duration::hours(6);

/// State of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// What people see.
    pub status: SyncStatus,
    /// Step of the work.
    pub stage: Stage,
    /// When the stage began, or was last reported.
    pub stage_started_at: OffsetDateTime,
    /// Where the last sync ended; empty before the first.
    pub cursor: String,
    /// When a sync last ended well.
    pub synced_at: Option<OffsetDateTime>,
    /// Retryable failures since the last success.
    pub throttle_failures: i32,
    /// No work before this time.
    pub throttle_until: Option<OffsetDateTime>,
    /// Grows with every start; each start has one job.
    pub generation: i32,
    /// Why it failed last, for people.
    pub last_failure: Option<String>,
}

impl Channel {
    /// A channel that was never started.
    pub fn new(now: OffsetDateTime) -> Self {
        Self {
            status: SyncStatus::NotSynced,
            stage: Stage::PendingConfiguration,
            stage_started_at: now,
            cursor: String::new(),
            synced_at: None,
            throttle_failures: 0,
            throttle_until: None,
            generation: 0,
            last_failure: None,
        }
    }

    /// True while work goes on or may go on.
    pub fn is_running(&self) -> bool {
        matches!(self.status, SyncStatus::Ongoing | SyncStatus::Active)
    }

    /// True where status or stage differ: what other services are told of.
    pub fn looks_different_from(&self, other: &Self) -> bool {
        (self.status, self.stage) != (other.status, other.stage)
    }
}
