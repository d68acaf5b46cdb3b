//! What could not be handled: listed, shown and given back to its queue.

use std::fmt;

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use latchkey_domain::EventId;

use crate::broker::{BrokerConfig, BrokerError, confirmed, publish};
use crate::envelope::{self, ATTEMPTS, Envelope, PARKED_AT, PARKED_REASON};
use crate::topology::parked_queue;

/// A parked message.
#[derive(Clone)]
pub struct Parked {
    /// CloudEvents id; none where the message has none that can be read.
    pub event_id: Option<EventId>,
    /// CloudEvents type; empty where there is none.
    pub event_type: String,
    /// CloudEvents subject; empty where there is none.
    pub subject: String,
    /// Why it was parked.
    pub reason: String,
    /// When (RFC 3339); empty where the broker parked it.
    pub parked_at: String,
    /// Tries that failed before.
    pub attempts: u32,
    /// The message itself.
    pub body: Vec<u8>,
}

/// Does not show the body: it may carry a sealed grant.
impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked")
            .field("event_id", &self.event_id)
            .field("event_type", &self.event_type)
            .field("subject", &self.subject)
            .field("reason", &self.reason)
            .field("parked_at", &self.parked_at)
            .field("attempts", &self.attempts)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Which parked messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Every one that is there now.
    All,
    /// Those of one event.
    Event(EventId),
}

impl Which {
    fn takes(self, message: &Parked) -> bool {
        match self {
            Self::All => true,
            Self::Event(id) => message.event_id == Some(id),
        }
    }
}

/// The parked messages of `queue` (the consumer's queue), oldest first, `limit`
/// at most. They stay where they are.
///
/// # Errors
/// The broker's refusal, e.g. where the queue does not exist.
pub async fn list(
    broker: &BrokerConfig,
    queue: &str,
    limit: usize,
) -> Result<Vec<Parked>, BrokerError> {
    let desk = Desk::open(broker, queue).await?;
    let mut found = Vec::new();
    for _ in 0..desk.held {
        if found.len() >= limit {
            break;
        }
        let Some(delivery) = desk.take().await? else {
            break;
        };
        found.push(read(&delivery));
    }
    // What was taken and not acknowledged goes back.
    desk.connection.close(200, "done".into()).await?;
    Ok(found)
}

/// One parked message by its event's id.
///
/// # Errors
/// The broker's refusal.
pub async fn show(
    broker: &BrokerConfig,
    queue: &str,
    event: EventId,
) -> Result<Option<Parked>, BrokerError> {
    let all = list(broker, queue, usize::MAX).await?;
    Ok(all
        .into_iter()
        .find(|message| Which::Event(event).takes(message)))
}

/// Gives parked messages back to `queue`, with no tries counted. Answers how
/// many. A message is in both queues for a moment, never in none.
///
/// # Errors
/// The broker's refusal; what was not given back stays parked.
pub async fn redrive(
    broker: &BrokerConfig,
    queue: &str,
    which: Which,
) -> Result<usize, BrokerError> {
    let desk = Desk::open(broker, queue).await?;
    desk.channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let mut given_back = 0;
    for _ in 0..desk.held {
        let Some(delivery) = desk.take().await? else {
            break;
        };
        if !which.takes(&read(&delivery)) {
            continue;
        }
        let changes = [
            (ATTEMPTS, None),
            (PARKED_REASON, None),
            (PARKED_AT, None),
            // The broker's own history would count against the message.
            ("x-death", None),
            ("x-delivery-count", None),
        ];
        let properties = envelope::with_headers(&delivery.properties, &changes);
        let confirm = publish(&desk.channel, "", queue, &delivery.data, properties).await?;
        confirmed(confirm).await?;
        delivery.acker.ack(BasicAckOptions::default()).await?;
        given_back += 1;
    }
    desk.connection.close(200, "done".into()).await?;
    Ok(given_back)
}

/// A look into one parking queue.
struct Desk {
    connection: Connection,
    channel: Channel,
    queue: String,
    /// Messages in the queue when it was opened: those parked later are left.
    held: u32,
}

impl Desk {
    async fn open(broker: &BrokerConfig, queue: &str) -> Result<Self, BrokerError> {
        let queue = parked_queue(queue);
        let connection = broker.connect().await?;
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let held = channel
            .queue_declare(queue.as_str().into(), passive, FieldTable::default())
            .await?
            .message_count();
        Ok(Self {
            connection,
            channel,
            queue,
            held,
        })
    }

    async fn take(&self) -> Result<Option<Delivery>, BrokerError> {
        let got = self
            .channel
            .basic_get(self.queue.as_str().into(), BasicGetOptions::default())
            .await?;
        Ok(got.map(|message| message.delivery))
    }
}

fn read(delivery: &Delivery) -> Parked {
    let properties = &delivery.properties;
    let envelope = Envelope::from_properties(properties).ok();
    let reason = envelope::get(properties, PARKED_REASON).unwrap_or_else(|| {
        let cause = broker_reason(delivery).unwrap_or_else(|| "unknown".to_owned());
        format!("parked by the broker: {cause}")
    });
    Parked {
        event_id: envelope.as_ref().map(|envelope| envelope.id),
        event_type: envelope
            .as_ref()
            .map(|envelope| envelope.event_type.clone())
            .unwrap_or_default(),
        subject: envelope
            .map(|envelope| envelope.subject)
            .unwrap_or_default(),
        reason,
        parked_at: envelope::get(properties, PARKED_AT).unwrap_or_default(),
        attempts: envelope::attempts(properties),
        body: delivery.data.clone(),
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
