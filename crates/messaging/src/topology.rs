//! Exchanges and queues: their names, which are the published contract of `proto/`, and their
//! declaration.

mod declare;
mod names;
mod refused_declarations;
mod retry_schedule;

pub use declare::{RefusedDeclaration, declare, declare_exchanges, declare_subscription};
pub use names::{
    CALENDAR_JOBS_QUEUE, DISCONNECTED_QUEUE, EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue,
    MEMBER_REMOVED_QUEUE, MESSAGING_JOBS_QUEUE, OPTIONAL_EVENTS, REAUTH_REQUIRED_QUEUE,
    RECENT_QUEUE, Subscription, UNROUTED_EXCHANGE, UNROUTED_QUEUE, USER_AUTHENTICATED_QUEUE,
    parked_queue,
};
pub use refused_declarations::RefusedDeclarations;
pub use retry_schedule::RetrySchedule;
