use std::fmt::Display;

use latchkey_domain::{EventId, JobId};
use latchkey_proto::events;
use latchkey_service::telemetry::current_traceparent;
use prost::Message as _;

use crate::event::Event;
use crate::topology::{EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue};

/// A message for the outbox, with the trace context in which it was created. `Debug` does not print
/// the payload, which may contain a sealed grant.
#[derive(Clone)]
pub struct Message {
    pub(crate) event_id: EventId,
    pub(crate) exchange: &'static str,
    pub(crate) routing_key: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) subject: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) traceparent: Option<String>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("event_id", &self.event_id)
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .field("subject", &self.subject)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl Message {
    /// An event; `subject` is the id of the object that it is about.
    pub fn event<E: Event>(event_id: EventId, subject: impl Display, event: &E) -> Self {
        Self {
            event_id,
            exchange: EVENTS_EXCHANGE,
            routing_key: E::ROUTING_KEY,
            event_type: E::ROUTING_KEY,
            subject: subject.to_string(),
            payload: event.encode_to_vec(),
            traceparent: current_traceparent(),
        }
    }

    /// A job for a sync worker; the id of the message is that of the job.
    pub fn job(id: JobId, queue: JobQueue, job: &events::SyncJob) -> Self {
        Self {
            event_id: EventId::from(id.as_uuid()),
            exchange: JOBS_EXCHANGE,
            routing_key: queue.routing_key(),
            event_type: queue.job_type(),
            subject: job.channel_id.clone(),
            payload: job.encode_to_vec(),
            traceparent: current_traceparent(),
        }
    }
}
