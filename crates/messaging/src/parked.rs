//! Messages that wait for an operator, parked or unrouted: listed, shown, published again and
//! discarded.

mod message;
mod queue_reader;
mod selection;

use std::collections::BTreeMap;

use lapin::Connection;
use lapin::options::BasicAckOptions;

use crate::broker::{BrokerConfig, BrokerError, confirmed, publish, reply, set_confirm_mode};
use crate::envelope::{self, ATTEMPTS, PARKED_AT, PARKED_REASON};

pub use message::Parked;
pub use queue_reader::OperatorQueue;
pub(crate) use queue_reader::message_count;
pub use selection::{Filter, Selection};

use queue_reader::QueueReader;

/// The messages of a queue, oldest first. They stay in the queue.
///
/// # Errors
/// The broker refuses, e.g. if the queue does not exist.
pub async fn list(
    broker: &BrokerConfig,
    queue: impl Into<OperatorQueue>,
    selection: impl Into<Selection>,
) -> Result<Vec<Parked>, BrokerError> {
    let mut selection = selection.into();
    let connection = broker.connect().await?;
    let reader = QueueReader::open(&connection, &queue.into()).await?;
    let mut found = Vec::new();
    for number in reader.numbers() {
        if selection.is_exhausted() {
            break;
        }
        let Some(delivery) = reader.take().await? else {
            break;
        };
        let message = Parked::read(&delivery, number);
        if selection.select(&message) {
            found.push(message);
        }
    }
    reader.requeue(&connection, 0).await?;
    reply("close", connection.close(200, "done".into())).await?;
    Ok(found)
}

/// How many messages wait in a queue, by their routing key.
///
/// # Errors
/// The broker refuses.
pub async fn count(
    broker: &BrokerConfig,
    queue: impl Into<OperatorQueue>,
) -> Result<BTreeMap<String, usize>, BrokerError> {
    let connection = broker.connect().await?;
    let reader = QueueReader::open(&connection, &queue.into()).await?;
    let mut counts = BTreeMap::new();
    for number in reader.numbers() {
        let Some(delivery) = reader.take().await? else {
            break;
        };
        *counts
            .entry(Parked::read(&delivery, number).routing_key)
            .or_insert(0) += 1;
    }
    reader.requeue(&connection, 0).await?;
    reply("close", connection.close(200, "done".into())).await?;
    Ok(counts)
}

/// The first message of a selection, such as that of an event.
///
/// # Errors
/// The broker refuses.
pub async fn show(
    broker: &BrokerConfig,
    queue: impl Into<OperatorQueue>,
    message: impl Into<Selection>,
) -> Result<Option<Parked>, BrokerError> {
    let one = Selection {
        limit: Some(1),
        ..message.into()
    };
    Ok(list(broker, queue, one).await?.pop())
}

/// Publishes messages again, with no attempts counted, and returns how many. A message is in
/// both queues for a moment and never in none. An event that still has no bound queue returns
/// to the queue that it came from.
///
/// # Errors
/// The broker refuses; the messages that were not published again stay.
pub async fn redrive(
    broker: &BrokerConfig,
    queue: impl Into<OperatorQueue>,
    selection: impl Into<Selection>,
) -> Result<usize, BrokerError> {
    let connection = broker.connect().await?;
    let redriven = redrive_on(&connection, &queue.into(), &selection.into()).await?;
    reply("close", connection.close(200, "done".into())).await?;
    Ok(redriven)
}

/// [`redrive`] over an open connection.
pub(crate) async fn redrive_on(
    connection: &Connection,
    queue: &OperatorQueue,
    selection: &Selection,
) -> Result<usize, BrokerError> {
    let mut selection = selection.clone();
    let reader = QueueReader::open(connection, queue).await?;
    set_confirm_mode(&reader.channel).await?;
    let mut redriven = 0;
    for number in reader.numbers() {
        if selection.is_exhausted() {
            break;
        }
        let Some(delivery) = reader.take().await? else {
            break;
        };
        if !selection.select(&Parked::read(&delivery, number)) {
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
        let (exchange, key) = queue.destination(&delivery);
        let confirm = publish(&reader.channel, exchange, key, &delivery.data, properties).await?;
        confirmed(confirm).await?;
        let acknowledged = delivery.acker.ack(BasicAckOptions::default());
        reply("acknowledge", acknowledged).await?;
        redriven += 1;
    }
    reader.requeue(connection, redriven).await?;
    Ok(redriven)
}

/// Deletes messages for ever and returns them.
///
/// # Errors
/// The broker refuses; the messages that were not deleted before stay.
pub async fn discard(
    broker: &BrokerConfig,
    queue: impl Into<OperatorQueue>,
    selection: impl Into<Selection>,
) -> Result<Vec<Parked>, BrokerError> {
    let mut selection = selection.into();
    let connection = broker.connect().await?;
    let reader = QueueReader::open(&connection, &queue.into()).await?;
    let mut discarded = Vec::new();
    for number in reader.numbers() {
        if selection.is_exhausted() {
            break;
        }
        let Some(delivery) = reader.take().await? else {
            break;
        };
        let message = Parked::read(&delivery, number);
        if selection.select(&message) {
            let acknowledged = delivery.acker.ack(BasicAckOptions::default());
            reply("acknowledge", acknowledged).await?;
            discarded.push(message);
        }
    }
    reader.requeue(&connection, discarded.len()).await?;
    reply("close", connection.close(200, "done".into())).await?;
    Ok(discarded)
}
