use latchkey_domain::Backoff;
use time::{Duration, OffsetDateTime};

use super::kind::{Stage, SyncStatus};
use super::state::{Channel, LastFailure, THROTTLE_LIMIT, THROTTLE_MAX, THROTTLE_MIN};

/// An input of the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Work starts, or starts again, at the cursor: one new job.
    Start,
    /// The channel waits until the person confirms the start.
    AwaitConfirmation,
    /// The grant does not cover the channel.
    Denied,
    /// The grant died, with the class of the failure.
    GrantDied(String),
    /// The account was disconnected.
    Disconnected,
    /// A worker entered a stage.
    StageEntered(Stage),
    /// A worker completed a sync at this cursor.
    Completed(String),
    /// A worker's sync failed.
    Failed(Failure),
    /// The back-off is over: one new job.
    RetryDue,
    /// The worker that took the job has not reported for too long: one new job, or a
    /// failure after [`THROTTLE_LIMIT`] times. A job that waits for a worker does not
    /// count.
    WorkerSilent,
}

/// Why a sync failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A retry may succeed, not before the wait if the worker named one.
    Retryable(Option<Duration>, String),
    /// The provider refuses the data.
    InsufficientPermissions(String),
    /// The provider no longer accepts the cursor.
    CursorExpired(String),
    /// Another failure.
    Unknown(String),
}

/// An input that the state machine does not accept in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a channel at {status} / {stage:?} does not accept this report")]
pub struct InvalidTransition {
    status: SyncStatus,
    stage: Stage,
}

impl Channel {
    /// The channel after `input`. A new job is due if the generation increased.
    ///
    /// # Errors
    /// The state machine does not accept the input in this state.
    pub fn after(&self, input: Input, now: OffsetDateTime) -> Result<Self, InvalidTransition> {
        match input {
            Input::Start => Ok(self.started(now)),
            Input::AwaitConfirmation | Input::Disconnected => {
                Ok(self.stopped(SyncStatus::NotSynced, Stage::PendingConfiguration, now))
            }
            Input::Denied => Ok(self.denied("the grant does not cover it".to_owned(), now)),
            Input::GrantDied(_) if self.stage == Stage::PendingConfiguration => Ok(self.clone()),
            Input::GrantDied(reason) => Ok(self.denied(reason, now)),
            Input::StageEntered(stage) => self.resumed(now).entered(stage, now),
            Input::Completed(cursor) => self.resumed(now).completed(cursor, now),
            Input::Failed(failure) => self.resumed(now).failed(failure, now),
            Input::RetryDue => self.restarted(self.throttle_failures, now),
            Input::WorkerSilent if self.is_running() && self.stage.is_at_work() => {
                let failures = self.throttle_failures.saturating_add(1);
                if failures >= THROTTLE_LIMIT {
                    return Ok(self.given_up(failures, LastFailure::WorkerSilent, now));
                }
                self.restarted(failures, now)
            }
            Input::WorkerSilent => Err(self.invalid_transition()),
        }
    }

    /// The channel to which a report of its current start is applied. A channel that
    /// the sweep gave up because no worker reported is resumed by the report.
    fn resumed(&self, now: OffsetDateTime) -> Self {
        let given_up_by_the_sweep = self.status == SyncStatus::FailedUnknown
            && self.last_failure == Some(LastFailure::WorkerSilent);
        if !given_up_by_the_sweep {
            return self.clone();
        }
        Self {
            status: SyncStatus::Ongoing,
            // The stage before is not stored; the worker reports its stage.
            stage: Stage::ListFetchOngoing,
            stage_started_at: now,
            throttle_failures: 0,
            throttle_until: None,
            last_failure: None,
            ..self.clone()
        }
    }

    fn started(&self, now: OffsetDateTime) -> Self {
        Self {
            status: SyncStatus::Ongoing,
            stage: Stage::ListFetchPending,
            stage_started_at: now,
            throttle_failures: 0,
            throttle_until: None,
            generation: self.generation + 1,
            last_failure: None,
            ..self.clone()
        }
    }

    fn stopped(&self, status: SyncStatus, stage: Stage, now: OffsetDateTime) -> Self {
        if self.status == status && self.stage == stage {
            return self.clone();
        }
        Self {
            status,
            stage,
            stage_started_at: now,
            throttle_until: None,
            ..self.clone()
        }
    }

    fn denied(&self, reason: String, now: OffsetDateTime) -> Self {
        let status = SyncStatus::FailedInsufficientPermissions;
        Self {
            last_failure: Some(LastFailure::Reported(reason)),
            ..self.stopped(status, Stage::Failed, now)
        }
    }

    fn entered(&self, stage: Stage, now: OffsetDateTime) -> Result<Self, InvalidTransition> {
        use Stage::{
            ImportOngoing, ImportPending, ImportScheduled, ListFetchOngoing, ListFetchPending,
            ListFetchScheduled,
        };
        let forward = match self.stage {
            ListFetchPending | ListFetchScheduled => false,
            Stage::Other(_)
            | ListFetchOngoing
            | ImportPending
            | ImportScheduled
            | ImportOngoing => {
                matches!(stage, ImportPending | ImportScheduled | ImportOngoing)
            }
            Stage::PendingConfiguration | Stage::Failed => return Err(self.invalid_transition()),
        };
        // A job that is delivered twice starts again with the list.
        let list = matches!(stage, ListFetchScheduled | ListFetchOngoing);
        if !self.is_running() || !(forward || list) {
            return Err(self.invalid_transition());
        }
        Ok(Self {
            stage,
            stage_started_at: now,
            ..self.clone()
        })
    }

    fn completed(&self, cursor: String, now: OffsetDateTime) -> Result<Self, InvalidTransition> {
        if !self.is_running() {
            return Err(self.invalid_transition());
        }
        Ok(Self {
            status: SyncStatus::Active,
            stage: Stage::ListFetchPending,
            stage_started_at: now,
            cursor,
            synced_at: Some(now),
            throttle_failures: 0,
            throttle_until: None,
            last_failure: None,
            ..self.clone()
        })
    }

    fn failed(&self, failure: Failure, now: OffsetDateTime) -> Result<Self, InvalidTransition> {
        if !self.is_running() {
            return Err(self.invalid_transition());
        }
        let failures = self.throttle_failures.saturating_add(1);
        match failure {
            Failure::InsufficientPermissions(detail) => Ok(self.denied(detail, now)),
            Failure::Retryable(_, detail)
            | Failure::CursorExpired(detail)
            | Failure::Unknown(detail)
                if failures >= THROTTLE_LIMIT =>
            {
                Ok(self.given_up(failures, LastFailure::Reported(detail), now))
            }
            Failure::Unknown(detail) => {
                Ok(self.given_up(failures, LastFailure::Reported(detail), now))
            }
            Failure::Retryable(asked, detail) => Ok(Self {
                stage: match &self.stage {
                    Stage::ImportScheduled | Stage::ImportOngoing => Stage::ImportPending,
                    Stage::ListFetchScheduled | Stage::ListFetchOngoing => Stage::ListFetchPending,
                    stage => stage.clone(),
                },
                stage_started_at: now,
                throttle_failures: failures,
                throttle_until: Some(now + back_off(failures, asked)),
                last_failure: Some(LastFailure::Reported(detail)),
                ..self.clone()
            }),
            Failure::CursorExpired(detail) => Ok(Self {
                cursor: String::new(),
                // Counted, so that a worker that always reports this ends in a failure.
                throttle_failures: failures,
                last_failure: Some(LastFailure::Reported(detail)),
                ..self.started(now)
            }),
        }
    }

    fn given_up(&self, failures: i32, why: LastFailure, now: OffsetDateTime) -> Self {
        Self {
            throttle_failures: failures,
            last_failure: Some(why),
            ..self.stopped(SyncStatus::FailedUnknown, Stage::Failed, now)
        }
    }

    fn restarted(&self, failures: i32, now: OffsetDateTime) -> Result<Self, InvalidTransition> {
        if !self.is_running() {
            return Err(self.invalid_transition());
        }
        Ok(Self {
            stage: Stage::ListFetchPending,
            stage_started_at: now,
            throttle_failures: failures,
            throttle_until: None,
            generation: self.generation + 1,
            ..self.clone()
        })
    }

    fn invalid_transition(&self) -> InvalidTransition {
        InvalidTransition {
            status: self.status.clone(),
            stage: self.stage.clone(),
        }
    }
}

/// The back-off after a failed sync.
const BACKOFF: Backoff =
    Backoff::new(THROTTLE_MIN.unsigned_abs(), THROTTLE_MAX.unsigned_abs()).unwrap();

/// The back-off that the worker asked for, within bounds, or one that doubles with each failure.
fn back_off(failures: i32, asked: Option<Duration>) -> Duration {
    let wait = match asked {
        // A negative duration counts as zero.
        Some(asked) => BACKOFF.clamped(asked.try_into().unwrap_or_default()),
        None => BACKOFF.without_jitter(u32::try_from(failures).unwrap_or(1)),
    };
    Duration::try_from(wait).unwrap_or(THROTTLE_MAX)
}

#[cfg(test)]
mod tests;
