//! Exchanges, queues and routing keys of the published contract.

use latchkey_proto::events;

use crate::event::Event;

/// Topic exchange of every event; the routing key is the event's type.
pub const EVENTS_EXCHANGE: &str = "latchkey.events";
/// Direct exchange of the jobs.
pub const JOBS_EXCHANGE: &str = "latchkey.jobs";
/// Fanout exchange that gets what no queue is bound for.
pub const UNROUTED_EXCHANGE: &str = "latchkey.unrouted";
/// Keeps what no queue was bound for. Empty in health: one message in it says that
/// a binding or a queue is missing.
pub const UNROUTED_QUEUE: &str = "latchkey.unrouted";
/// The newest events of the types that need no consumer ([`OPTIONAL_EVENTS`]),
/// within limits: the oldest make room.
pub const RECENT_QUEUE: &str = "latchkey.events.recent";
/// Routing keys of events that nobody need consume.
pub const OPTIONAL_EVENTS: [&str; 2] = [
    <events::AccountConnected as Event>::ROUTING_KEY,
    <events::ChannelStatusChanged as Event>::ROUTING_KEY,
];
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

/// Queue of sync-svc for `user.authenticated.v1`.
pub const USER_AUTHENTICATED_QUEUE: &str = "sync-svc.user-authenticated";
/// Queue of sync-svc for `member.removed.v1`.
pub const MEMBER_REMOVED_QUEUE: &str = "sync-svc.member-removed";
/// Queue of sync-svc for `account.reauth_required.v1`.
pub const REAUTH_REQUIRED_QUEUE: &str = "sync-svc.account-reauth-required";
/// Queue of sync-svc for `account.disconnected.v1`.
pub const DISCONNECTED_QUEUE: &str = "sync-svc.account-disconnected";

/// A consumer's queue and what it is bound to on [`EVENTS_EXCHANGE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Name of the queue; `<queue>.retry.<delay>` and `<queue>.parked` belong to it.
    pub queue: String,
    /// Routing keys, which are the types of event that the queue takes.
    pub routing_keys: Vec<&'static str>,
}

impl Subscription {
    /// A queue for the events `E`.
    pub fn of<E: Event>(queue: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            routing_keys: vec![E::ROUTING_KEY],
        }
    }

    /// The queue for what could not be handled.
    pub fn parked(&self) -> String {
        parked_queue(&self.queue)
    }

    /// The subscriptions of sync-svc, which declares them and looks after them.
    pub fn built_in() -> Vec<Self> {
        vec![
            Self::of::<events::UserAuthenticated>(USER_AUTHENTICATED_QUEUE),
            Self::of::<events::MemberRemoved>(MEMBER_REMOVED_QUEUE),
            Self::of::<events::AccountReauthRequired>(REAUTH_REQUIRED_QUEUE),
            Self::of::<events::AccountDisconnected>(DISCONNECTED_QUEUE),
        ]
    }
}

/// Name of the parking queue of `queue`.
pub fn parked_queue(queue: &str) -> String {
    format!("{queue}.parked")
}
