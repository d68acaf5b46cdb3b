//! Exchanges, queues and routing keys of the published contract.

use latchkey_proto::events;

use crate::event::Event;

/// Topic exchange of every event; the routing key is the event's type.
pub const EVENTS_EXCHANGE: &str = "latchkey.events";
/// Direct exchange of the jobs.
pub const JOBS_EXCHANGE: &str = "latchkey.jobs";
/// Fanout exchange that receives the messages that no queue is bound for.
pub const UNROUTED_EXCHANGE: &str = "latchkey.unrouted";
/// Queue of the messages that no queue was bound for. It is normally empty: a message in it means
/// that a binding or a queue is missing.
pub const UNROUTED_QUEUE: &str = "latchkey.unrouted";
/// Queue of the newest events of the types that need no consumer ([`OPTIONAL_EVENTS`]). Beyond its
/// limits the oldest are dropped.
pub const RECENT_QUEUE: &str = "latchkey.events.recent";
/// Routing keys of the events that need no consumer.
pub const OPTIONAL_EVENTS: [&str; 3] = [
    <events::SessionEnded as Event>::ROUTING_KEY,
    <events::AccountConnected as Event>::ROUTING_KEY,
    <events::ChannelStatusChanged as Event>::ROUTING_KEY,
];
/// Queue of the jobs of message channels.
pub const MESSAGING_JOBS_QUEUE: &str = "latchkey.jobs.messaging";
/// Queue of the jobs of calendar channels.
pub const CALENDAR_JOBS_QUEUE: &str = "latchkey.jobs.calendar";

/// The queue of a sync job.
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

    /// Name of the queue.
    pub const fn queue(self) -> &'static str {
        match self {
            Self::Messaging => MESSAGING_JOBS_QUEUE,
            Self::Calendar => CALENDAR_JOBS_QUEUE,
        }
    }

    /// CloudEvents type of the job of a first sync.
    pub const fn job_type(self) -> &'static str {
        match self {
            Self::Messaging => "MessagingMessageListFetchJob",
            Self::Calendar => "CalendarEventListFetchJob",
        }
    }
}

/// Queue of the events that sync-svc consumes.
pub const SYNC_SVC_QUEUE: &str = "sync-svc.events";

/// The queue of a consumer and its bindings to [`EVENTS_EXCHANGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// Name of the queue; `<queue>.retry.<delay>` and `<queue>.parked` belong to it.
    pub queue: &'static str,
    /// Routing keys, which are the types of the events that the queue accepts.
    pub routing_keys: &'static [&'static str],
}

impl Subscription {
    /// The subscription of sync-svc: one queue for every type of event.
    pub const SYNC_SVC: Self = Self {
        queue: SYNC_SVC_QUEUE,
        routing_keys: &[
            <events::UserAuthenticated as Event>::ROUTING_KEY,
            <events::MemberRemoved as Event>::ROUTING_KEY,
            <events::AccountReauthRequired as Event>::ROUTING_KEY,
            <events::AccountDisconnected as Event>::ROUTING_KEY,
        ],
    };

    /// Name of the parking queue, for messages that could not be handled.
    pub fn parked(&self) -> String {
        parked_queue(self.queue)
    }
}

/// Name of the parking queue of `queue`.
pub fn parked_queue(queue: &str) -> String {
    format!("{queue}.parked")
}

/// A binding that belongs to the topology.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The exchange.
    pub exchange: &'static str,
    /// The queue.
    pub queue: &'static str,
    /// The routing key.
    pub routing_key: &'static str,
}

/// Every binding that sync-svc declares.
pub fn bindings() -> Vec<Binding> {
    let binding = |exchange, queue, routing_key| Binding {
        exchange,
        queue,
        routing_key,
    };
    let mut all = vec![binding(UNROUTED_EXCHANGE, UNROUTED_QUEUE, "")];
    let optional = OPTIONAL_EVENTS.iter();
    all.extend(optional.map(|key| binding(EVENTS_EXCHANGE, RECENT_QUEUE, key)));
    let jobs = [JobQueue::Messaging, JobQueue::Calendar].into_iter();
    all.extend(jobs.map(|jobs| binding(JOBS_EXCHANGE, jobs.queue(), jobs.routing_key())));
    let own = Subscription::SYNC_SVC;
    let keys = own.routing_keys.iter();
    all.extend(keys.map(|key| binding(EVENTS_EXCHANGE, own.queue, key)));
    all
}
