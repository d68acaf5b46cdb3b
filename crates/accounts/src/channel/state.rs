use time::{Duration, OffsetDateTime};

use super::kind::{Stage, SyncStatus};

/// After this number of consecutive retryable failures a channel has failed.
pub const THROTTLE_LIMIT: i32 = 8;
/// Back-off after the first retryable failure; it doubles with each further one.
pub const THROTTLE_MIN: Duration = Duration::minutes(1);
/// Longest back-off, by doubling or by the request of a worker.
pub const THROTTLE_MAX: Duration = Duration::hours(6);

/// State of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The status that people see.
    pub status: SyncStatus,
    /// The step of the work.
    pub stage: Stage,
    /// When the stage began or was last reported.
    pub stage_started_at: OffsetDateTime,
    /// The provider's cursor at which the last sync ended; empty before the first one.
    pub cursor: String,
    /// When a sync last completed.
    pub synced_at: Option<OffsetDateTime>,
    /// Retryable failures since the last success.
    pub throttle_failures: i32,
    /// No work is done before this time.
    pub throttle_until: Option<OffsetDateTime>,
    /// Increases with every start; each start has one job.
    pub generation: i32,
    /// Why the last sync failed.
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

    /// Returns `true` if a job is running or may run.
    pub fn is_running(&self) -> bool {
        matches!(self.status, SyncStatus::Ongoing | SyncStatus::Active)
    }

    /// Returns `true` if status or stage differ, which is what other services see.
    pub fn differs_visibly_from(&self, other: &Self) -> bool {
        self.status != other.status || self.stage != other.stage
    }

    /// Returns `true` if a worker took the job and has reported nothing since
    /// `silent_before`.
    pub fn is_worker_silent(&self, silent_before: OffsetDateTime) -> bool {
        self.is_running()
            && self.throttle_until.is_none()
            && self.stage.is_at_work()
            && self.stage_started_at < silent_before
    }

    /// Returns `true` if the job of this start waits for a worker. A channel that is
    /// up to date is at the first stage too, without a job.
    pub fn awaits_worker(&self) -> bool {
        let is_up_to_date =
            self.status == SyncStatus::Active && self.stage == Stage::ListFetchPending;
        self.is_running()
            && self.throttle_until.is_none()
            && self.stage.awaits_worker()
            && !is_up_to_date
    }
}

/// The text of [`LastFailure::WorkerSilent`] in the database.
const WORKER_SILENT: &str = "no worker reported progress";

/// Why the last sync of a channel failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastFailure {
    /// Workers took the job and reported nothing more, as the sweep found. A later
    /// report of the same start resumes the channel.
    WorkerSilent,
    /// The reason that a worker reported, or that the grant died of.
    Reported(String),
}

impl LastFailure {
    /// The text for people and for the database.
    pub fn as_str(&self) -> &str {
        match self {
            Self::WorkerSilent => WORKER_SILENT,
            Self::Reported(text) => text,
        }
    }

    /// Reads the text of the database.
    pub fn stored(text: String) -> Self {
        if text == WORKER_SILENT {
            Self::WorkerSilent
        } else {
            Self::Reported(text)
        }
    }
}
