//! A waiting message, as an operator sees it.

use std::fmt;

use lapin::message::Delivery;
use lapin::types::AMQPValue;
use latchkey_domain::EventId;

use crate::envelope::{self, Envelope, PARKED_AT, PARKED_REASON};
use crate::topology::EVENTS_EXCHANGE;

/// A waiting message.
#[derive(Clone)]
pub struct Parked {
    /// Position in the queue from 1, the oldest first. It addresses a message without an id, as
    /// long as no older message leaves the queue.
    pub number: usize,
    /// CloudEvents id, if the message has one that can be read.
    pub event_id: Option<EventId>,
    /// CloudEvents type, or empty.
    pub event_type: String,
    /// CloudEvents subject, or empty.
    pub subject: String,
    /// Why it waits.
    pub reason: String,
    /// When it was parked (RFC 3339); empty if the broker parked it.
    pub parked_at: String,
    /// Attempts that failed before.
    pub attempts: u32,
    /// The routing key that it was published with, or its type if the broker forwarded it.
    pub routing_key: String,
    /// The body of the message.
    pub body: Vec<u8>,
}

/// Does not show the body: it may carry a sealed grant.
impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked")
            .field("number", &self.number)
            .field("event_id", &self.event_id)
            .field("event_type", &self.event_type)
            .field("subject", &self.subject)
            .field("reason", &self.reason)
            .field("parked_at", &self.parked_at)
            .field("attempts", &self.attempts)
            .field("routing_key", &self.routing_key)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl Parked {
    pub(super) fn read(delivery: &Delivery, number: usize) -> Self {
        let properties = &delivery.properties;
        let envelope = Envelope::from_properties(properties).ok();
        let reason = envelope::get(properties, PARKED_REASON).unwrap_or_else(|| {
            if delivery.exchange.as_str() == EVENTS_EXCHANGE {
                return format!("no queue was bound for {}", delivery.routing_key);
            }
            let cause = broker_reason(delivery).unwrap_or_else(|| "unknown".to_owned());
            format!("parked by the broker: {cause}")
        });
        let event_type = envelope
            .as_ref()
            .map(|envelope| envelope.event_type.clone())
            .unwrap_or_default();
        let routing_key = if delivery.exchange.as_str() == EVENTS_EXCHANGE {
            delivery.routing_key.to_string()
        } else {
            event_type.clone()
        };
        Self {
            number,
            event_id: envelope.as_ref().map(|envelope| envelope.id),
            event_type,
            routing_key,
            subject: envelope
                .map(|envelope| envelope.subject)
                .unwrap_or_default(),
            reason,
            parked_at: envelope::get(properties, PARKED_AT).unwrap_or_default(),
            attempts: envelope::attempts(properties),
            body: delivery.data.clone(),
        }
    }
}

/// `reason` of the newest `x-death` entry, e.g. `delivery_limit`.
fn broker_reason(delivery: &Delivery) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?.inner();
    let AMQPValue::FieldArray(deaths) = headers.get("x-death")? else {
        return None;
    };
    let AMQPValue::FieldTable(newest) = deaths.as_slice().first()? else {
        return None;
    };
    match newest.inner().get("reason")? {
        AMQPValue::LongString(reason) => Some(reason.to_string()),
        _ => None,
    }
}
