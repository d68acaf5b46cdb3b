use std::fmt;

use lapin::message::Delivery;
use latchkey_domain::EventId;
use time::OffsetDateTime;

use super::error::HandleError;
use crate::envelope::Envelope;
use crate::event::Event;

/// Events are small: a larger message is not one of ours.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// A message as it arrived.
#[derive(Clone)]
pub struct Received {
    /// CloudEvents id: the same for every delivery of one event.
    pub id: EventId,
    /// CloudEvents type, e.g. `user.authenticated.v1`.
    pub event_type: String,
    /// CloudEvents source, e.g. `/latchkey/auth-svc`.
    pub source: String,
    /// CloudEvents subject.
    pub subject: String,
    /// CloudEvents time: when the event was written.
    pub time: Option<OffsetDateTime>,
    /// W3C trace context of the publisher.
    pub traceparent: Option<String>,
    /// Failed attempts before this one.
    pub attempts: u32,
    body: Vec<u8>,
}

/// Does not show the body: it may carry a sealed grant.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("subject", &self.subject)
            .field("attempts", &self.attempts)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Received {
    /// Reads a delivery of a queue that accepts the types `expected`.
    ///
    /// # Errors
    /// [`HandleError::Park`] if the message is too large, is not an event, or has a type or
    /// version that the queue does not accept.
    pub(crate) fn read(delivery: &Delivery, expected: &[&str]) -> Result<Self, HandleError> {
        let bytes = delivery.data.len();
        if bytes > MAX_BODY_BYTES {
            return Err(HandleError::Park(format!(
                "body has {bytes} bytes, more than {MAX_BODY_BYTES}"
            )));
        }
        let envelope = Envelope::from_properties(&delivery.properties)
            .map_err(|error| HandleError::Park(error.to_string()))?;
        if !expected.contains(&envelope.event_type.as_str()) {
            return Err(HandleError::Park(format!(
                "unknown type or version of event: {}",
                envelope.event_type
            )));
        }
        Ok(Self {
            id: envelope.id,
            event_type: envelope.event_type,
            source: envelope.source,
            subject: envelope.subject,
            time: envelope.time,
            traceparent: envelope.traceparent,
            attempts: envelope.attempts,
            body: delivery.data.clone(),
        })
    }

    /// Decodes the event.
    ///
    /// # Errors
    /// [`HandleError::Park`] if it is another type of event or cannot be decoded.
    pub fn event<E: Event>(&self) -> Result<E, HandleError> {
        if self.event_type != E::ROUTING_KEY {
            return Err(HandleError::Park(format!(
                "is {}, not {}",
                self.event_type,
                E::ROUTING_KEY
            )));
        }
        E::decode(self.body.as_slice())
            .map_err(|error| HandleError::Park(format!("body is malformed: {error}")))
    }
}
