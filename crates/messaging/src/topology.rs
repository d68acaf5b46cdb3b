//! Names of exchanges and queues: the published contract of `proto/`.

/// Topic exchange of every event; the routing key is the event's type.
pub const EVENTS_EXCHANGE: &str = "latchkey.events";
/// Direct exchange of the jobs.
pub const JOBS_EXCHANGE: &str = "latchkey.jobs";
/// Fanout exchange that gets what no queue is bound for.
pub const UNROUTED_EXCHANGE: &str = "latchkey.unrouted";
/// Keeps what no queue was bound for.
pub const UNROUTED_QUEUE: &str = "latchkey.unrouted";
/// Jobs of message channels.
pub const MESSAGING_JOBS_QUEUE: &str = "latchkey.jobs.messaging";
/// Jobs of calendar channels.
pub const CALENDAR_JOBS_QUEUE: &str = "latchkey.jobs.calendar";

/// Where a sync job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobQueue {
    /// [`MESSAGING_JOBS_QUEUE`].
    Messaging,
    /// [`CALENDAR_JOBS_QUEUE`].
    Calendar,
}

impl JobQueue {
    /// Routing key on [`JOBS_EXCHANGE`].
    pub const fn routing_key(self) -> &'static str {
        match self {
            Self::Messaging => "messaging",
            Self::Calendar => "calendar",
        }
    }

    /// The queue's name.
    pub const fn queue(self) -> &'static str {
        match self {
            Self::Messaging => MESSAGING_JOBS_QUEUE,
            Self::Calendar => CALENDAR_JOBS_QUEUE,
        }
    }

    /// CloudEvents type of a first sync's job.
    pub const fn job_type(self) -> &'static str {
        match self {
            Self::Messaging => "MessagingMessageListFetchJob",
            Self::Calendar => "CalendarEventListFetchJob",
        }
    }
}
