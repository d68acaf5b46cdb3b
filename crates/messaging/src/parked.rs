//! What waits for an operator, parked or unrouted: listed, shown and published
//! again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use latchkey_domain::EventId;

use crate::broker::{BrokerConfig, BrokerError, answered, confirmed, publish};
use crate::envelope::{self, ATTEMPTS, Envelope, PARKED_AT, PARKED_REASON};
use crate::topology::{EVENTS_EXCHANGE, UNROUTED_QUEUE, parked_queue};

/// Where messages wait for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shelf {
    /// What the consumer of this queue could not handle; goes back to the queue.
    Parked(String),
    /// Events that no queue was bound for; go to whoever is bound by then.
    Unrouted,
}

impl From<&str> for Shelf {
    fn from(queue: &str) -> Self {
        Self::Parked(queue.to_owned())
    }
}

impl Shelf {
    fn queue(&self) -> String {
        match self {
            Self::Parked(queue) => parked_queue(queue),
            Self::Unrouted => UNROUTED_QUEUE.to_owned(),
        }
    }

    /// Exchange and routing key that a message is published with again.
    fn way_back<'a>(&'a self, delivery: &'a Delivery) -> (&'static str, &'a str) {
        match self {
            Self::Parked(queue) => ("", queue),
            Self::Unrouted => (EVENTS_EXCHANGE, delivery.routing_key.as_str()),
        }
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parked(queue) => f.write_str(queue),
            Self::Unrouted => f.write_str(UNROUTED_QUEUE),
        }
    }
}

/// A message that waits.
#[derive(Clone)]
pub struct Parked {
    /// CloudEvents id; none where the message has none that can be read.
    pub event_id: Option<EventId>,
    /// CloudEvents type; empty where there is none.
    pub event_type: String,
    /// CloudEvents subject; empty where there is none.
    pub subject: String,
    /// Why it waits.
    pub reason: String,
    /// Since when (RFC 3339); empty where the broker put it there.
    pub parked_at: String,
    /// Tries that failed before.
    pub attempts: u32,
    /// What it was published with: its routing key, or its type where the broker
    /// passed it on.
    pub routing_key: String,
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
            .field("routing_key", &self.routing_key)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Which messages of a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every one that is there now.
    All,
    /// Those of one event.
    Event(EventId),
    /// Those that were published with one of these routing keys.
    Keys(Vec<String>),
}

impl Which {
    fn takes(&self, message: &Parked) -> bool {
        match self {
            Self::All => true,
            Self::Event(id) => message.event_id == Some(*id),
            Self::Keys(keys) => keys.contains(&message.routing_key),
        }
    }
}

/// Which messages of a shelf, oldest first, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Which.
    pub which: Which,
    /// Of these, so many are passed over first.
    pub skip: usize,
    /// At most so many; all where nothing is said.
    pub limit: Option<usize>,
}

impl From<Which> for Selection {
    fn from(which: Which) -> Self {
        Self {
            which,
            skip: 0,
            limit: None,
        }
    }
}

impl From<usize> for Selection {
    fn from(limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..Self::from(Which::All)
        }
    }
}

impl Selection {
    /// Counts a message in; `true` if it is meant.
    fn meets(&mut self, message: &Parked) -> bool {
        if !self.which.takes(message) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(left) = &mut self.limit {
            *left = left.saturating_sub(1);
        }
        true
    }

    fn is_spent(&self) -> bool {
        self.limit == Some(0)
    }
}

/// The messages of a shelf, oldest first. They stay where they are.
///
/// # Errors
/// The broker's refusal, e.g. where the queue does not exist.
pub async fn list(
    broker: &BrokerConfig,
    shelf: impl Into<Shelf>,
    selection: impl Into<Selection>,
) -> Result<Vec<Parked>, BrokerError> {
    let mut selection = selection.into();
    let connection = broker.connect().await?;
    let desk = Desk::open(&connection, &shelf.into()).await?;
    let mut found = Vec::new();
    for _ in 0..desk.held {
        if selection.is_spent() {
            break;
        }
        let Some(delivery) = desk.take().await? else {
            break;
        };
        let message = read(&delivery);
        if selection.meets(&message) {
            found.push(message);
        }
    }
    desk.leave(&connection, 0).await?;
    answered("close", connection.close(200, "done".into())).await?;
    Ok(found)
}

/// How many messages wait on a shelf, by their routing key.
///
/// # Errors
/// The broker's refusal.
pub async fn count(
    broker: &BrokerConfig,
    shelf: impl Into<Shelf>,
) -> Result<BTreeMap<String, usize>, BrokerError> {
    let connection = broker.connect().await?;
    let desk = Desk::open(&connection, &shelf.into()).await?;
    let mut counts = BTreeMap::new();
    for _ in 0..desk.held {
        let Some(delivery) = desk.take().await? else {
            break;
        };
        *counts.entry(read(&delivery).routing_key).or_insert(0) += 1;
    }
    desk.leave(&connection, 0).await?;
    answered("close", connection.close(200, "done".into())).await?;
    Ok(counts)
}

/// One message by its event's id.
///
/// # Errors
/// The broker's refusal.
pub async fn show(
    broker: &BrokerConfig,
    shelf: impl Into<Shelf>,
    event: EventId,
) -> Result<Option<Parked>, BrokerError> {
    let one = Selection {
        limit: Some(1),
        ..Selection::from(Which::Event(event))
    };
    Ok(list(broker, shelf, one).await?.pop())
}

/// Publishes messages again, with no tries counted. Answers how many. A message is
/// in both queues for a moment, never in none; an event that still nobody is bound
/// for comes back to where it was.
///
/// # Errors
/// The broker's refusal; what was not published again stays.
pub async fn redrive(
    broker: &BrokerConfig,
    shelf: impl Into<Shelf>,
    selection: impl Into<Selection>,
) -> Result<usize, BrokerError> {
    let connection = broker.connect().await?;
    let given_back = redrive_on(&connection, &shelf.into(), &selection.into()).await?;
    answered("close", connection.close(200, "done".into())).await?;
    Ok(given_back)
}

/// [`redrive`] over an open connection.
pub(crate) async fn redrive_on(
    connection: &Connection,
    shelf: &Shelf,
    selection: &Selection,
) -> Result<usize, BrokerError> {
    let mut selection = selection.clone();
    let desk = Desk::open(connection, shelf).await?;
    let confirming = desk.channel.confirm_select(ConfirmSelectOptions::default());
    answered("confirm mode", confirming).await?;
    let mut given_back = 0;
    for _ in 0..desk.held {
        if selection.is_spent() {
            break;
        }
        let Some(delivery) = desk.take().await? else {
            break;
        };
        if !selection.meets(&read(&delivery)) {
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
        let (exchange, key) = shelf.way_back(&delivery);
        let confirm = publish(&desk.channel, exchange, key, &delivery.data, properties).await?;
        confirmed(confirm).await?;
        let acknowledged = delivery.acker.ack(BasicAckOptions::default());
        answered("acknowledge", acknowledged).await?;
        given_back += 1;
    }
    desk.leave(connection, given_back).await?;
    Ok(given_back)
}

/// How many messages wait on a shelf.
pub(crate) async fn held_on(connection: &Connection, shelf: &Shelf) -> Result<u32, BrokerError> {
    let desk = Desk::open(connection, shelf).await?;
    desk.close().await?;
    Ok(desk.held)
}

/// How often, and how long apart, it is looked whether the broker has put back what was
/// taken: a second at most.
const LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A look onto one shelf.
struct Desk {
    channel: Channel,
    shelf: Shelf,
    /// Messages in the queue when it was opened: those that came later are left.
    held: u32,
}

impl Desk {
    async fn open(connection: &Connection, shelf: &Shelf) -> Result<Self, BrokerError> {
        let queue = shelf.queue();
        let channel = answered("open a channel", connection.create_channel()).await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
        let held = answered("look at the queue", declared)
            .await?
            .message_count();
        Ok(Self {
            channel,
            shelf: shelf.clone(),
            held,
        })
    }

    /// What was taken and not acknowledged goes back. The broker puts it back a moment
    /// after it has answered: whoever looks next is to find it, so this waits for it.
    async fn leave(self, connection: &Connection, given_back: usize) -> Result<(), BrokerError> {
        self.close().await?;
        let gone = u32::try_from(given_back).unwrap_or(u32::MAX);
        let stays = self.held.saturating_sub(gone);
        for _ in 0..LOOKS {
            // Somebody else may have taken some meanwhile: then the looks come to an end.
            if stays == 0 || held_on(connection, &self.shelf).await? >= stays {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), BrokerError> {
        answered("close", self.channel.close(200, "done".into())).await
    }

    async fn take(&self) -> Result<Option<Delivery>, BrokerError> {
        let asked = self.channel.basic_get(
            self.shelf.queue().as_str().into(),
            BasicGetOptions::default(),
        );
        let got = answered("take a message", asked).await?;
        Ok(got.map(|message| message.delivery))
    }
}

fn read(delivery: &Delivery) -> Parked {
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
    Parked {
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
