//! Exchanges and queues: their names, which are the published contract of `proto/`, and their
//! declaration.

mod declare;
mod inspect;
mod names;
mod refused_declarations;
mod retired_queues;
mod retry_schedule;

pub use declare::{RefusedDeclaration, declare, declare_exchanges, declare_subscription};
pub use inspect::{Inspected, Presence, inspect};
pub use names::{
    Binding, CALENDAR_JOBS_QUEUE, EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue, MESSAGING_JOBS_QUEUE,
    OPTIONAL_EVENTS, RECENT_QUEUE, SYNC_SVC_QUEUE, Subscription, UNROUTED_EXCHANGE, UNROUTED_QUEUE,
    bindings, parked_queue,
};
pub use refused_declarations::RefusedDeclarations;
pub(crate) use retired_queues::RetiredQueues;
pub use retry_schedule::RetrySchedule;
