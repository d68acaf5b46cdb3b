use time::{Duration, OffsetDateTime};

use super::kind::{Stage, SyncStatus};

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
    /// Why it failed last.
    pub last_failure: Option<LastFailure>,
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
    pub fn differs_visibly_from(&self, other: &Self) -> bool {
        self.status != other.status || self.stage != other.stage
    }

    /// Returns `true` if a worker took the job and has not been heard of since
    /// `silent_before`.
    pub fn is_worker_silent(&self, silent_before: OffsetDateTime) -> bool {
        self.is_running()
            && self.throttle_until.is_none()
            && self.stage.is_at_work()
            && self.stage_started_at < silent_before
    }

    /// Returns `true` if a job of this start waits for a worker. A channel that is
    /// up to date rests at the first stage and waits for nothing.
    pub fn awaits_worker(&self) -> bool {
        let rests = self.status == SyncStatus::Active && self.stage == Stage::ListFetchPending;
        self.is_running() && self.throttle_until.is_none() && self.stage.awaits_worker() && !rests
    }
}

/// Text of [`LastFailure::WorkerSilent`] in the database.
const WORKER_SILENT: &str = "no worker reported progress";

/// Why a channel failed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastFailure {
    /// The sweep found that workers took the job and were not heard of again. A
    /// worker that is heard of after all proves it wrong.
    WorkerSilent,
    /// In the words of a worker or of the grant's end.
    Reported(String),
}

impl LastFailure {
    /// For people and for the database.
    pub fn as_str(&self) -> &str {
        match self {
            Self::WorkerSilent => WORKER_SILENT,
            Self::Reported(text) => text,
        }
    }

    /// Reads what the database holds.
    pub fn stored(text: String) -> Self {
        if text == WORKER_SILENT {
            Self::WorkerSilent
        } else {
            Self::Reported(text)
        }
    }
}
