//! Retires the queues that the previous version of sync-svc consumes: it had one for each type of
//! event. Their messages are moved to the queue of sync-svc, and then the queues are deleted.
//!
//! The release after this one can remove this module.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeleteOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind};
use latchkey_proto::events;

use super::declare::{RefusedDeclaration, refusal};
use super::names::{EVENTS_EXCHANGE, Subscription, parked_queue};
use super::refused_declarations::RefusedDeclarations;
use super::retry_schedule::RetrySchedule;
use crate::broker::{BrokerError, confirmed, look_at_queue, open_confirm_channel, publish, reply};
use crate::envelope;
use crate::event::Event;

/// The retired queues with their routing keys.
const RETIRED: [(&str, &str); 4] = [
    (
        "sync-svc.user-authenticated",
        <events::UserAuthenticated as Event>::ROUTING_KEY,
    ),
    (
        "sync-svc.member-removed",
        <events::MemberRemoved as Event>::ROUTING_KEY,
    ),
    (
        "sync-svc.account-reauth-required",
        <events::AccountReauthRequired as Event>::ROUTING_KEY,
    ),
    (
        "sync-svc.account-disconnected",
        <events::AccountDisconnected as Event>::ROUTING_KEY,
    ),
];
/// Messages that are moved out of one queue in one round.
const MOVE_LIMIT: usize = 10_000;
/// Quorum queues support neither `if-unused` nor `if-empty`, and the broker does not tell how many
/// messages are unacknowledged. The previous version keeps messages after it has unsubscribed: up
/// to 20 s when it stops, and for about 3 minutes to handle a suspect message alone. Its commands
/// keep what they read. After this period the messages are acknowledged or back in the queue.
const QUIET_PERIOD: Duration = Duration::from_mins(5);
/// The time between two rounds if no queue is left. A look at a queue that does not exist is an
/// error in the broker's log.
const ABSENT_INTERVAL: Duration = Duration::from_hours(1);

/// The state of the retirement between two rounds.
#[derive(Debug)]
pub(crate) struct RetiredQueues {
    /// Names the retry queues.
    retry_schedule: RetrySchedule,
    pub(crate) quiet_period: Duration,
    /// Since when a queue has had neither messages nor consumers.
    quiet_since: HashMap<&'static str, Instant>,
    next_round: Option<Instant>,
    refused: RefusedDeclarations,
}

impl RetiredQueues {
    pub(crate) fn new(retry_schedule: RetrySchedule) -> Self {
        Self {
            retry_schedule,
            quiet_period: QUIET_PERIOD,
            quiet_since: HashMap::new(),
            next_round: None,
            refused: RefusedDeclarations::default(),
        }
    }

    /// Moves the messages of every retired queue without a consumer, and deletes the queues that
    /// have been quiet for long enough. The queue of sync-svc must be bound before: from then on an
    /// event is in it too, and an event that arrives in both is applied once.
    ///
    /// # Errors
    /// The broker does not reply, or the connection ends. A refusal is logged once.
    pub(crate) async fn round(&mut self, connection: &Connection) -> Result<(), BrokerError> {
        if self.next_round.is_some_and(|next| Instant::now() < next) {
            return Ok(());
        }
        let mut left = false;
        let mut refused = Vec::new();
        for (queue, routing_key) in RETIRED {
            match self.retire(connection, queue, routing_key).await {
                Ok(exists) => left |= exists,
                Err(error) if is_not_found(&error) || matches!(error, BrokerError::Refused(_)) => {
                    tracing::warn!(queue, %error, "retired queue stays until the next round");
                    left = true;
                }
                Err(error) => {
                    let reason = refusal(&error).ok_or(error)?;
                    refused.push(RefusedDeclaration {
                        what: format!("removal of queue {queue}"),
                        reason,
                    });
                }
            }
        }
        self.refused.replace(&refused);
        self.next_round = (!left).then(|| Instant::now() + ABSENT_INTERVAL);
        Ok(())
    }

    /// Returns whether the queue still exists. An error begins the quiet period anew.
    async fn retire(
        &mut self,
        connection: &Connection,
        queue: &'static str,
        routing_key: &str,
    ) -> Result<bool, BrokerError> {
        let quiet_since = self.quiet_since.remove(queue);
        let channel = reply("open a channel", connection.create_channel()).await?;
        let consumers = consumer_count(&channel, queue).await?;
        if consumers != Some(0) {
            return Ok(consumers.is_some());
        }
        let unbound = channel.queue_unbind(
            queue.into(),
            EVENTS_EXCHANGE.into(),
            routing_key.into(),
            FieldTable::default(),
        );
        reply("unbind a queue", unbound).await?;
        let family = self.family(queue);
        let mut moved = 0;
        for (from, to) in &family {
            moved += move_messages(connection, from, to).await?;
        }
        if moved > 0 {
            tracing::info!(queue, moved, "messages of a retired queue were moved");
            return Ok(true);
        }
        let quiet_since = quiet_since.unwrap_or_else(Instant::now);
        if quiet_since.elapsed() < self.quiet_period {
            self.quiet_since.insert(queue, quiet_since);
            return Ok(true);
        }
        for (name, _) in &family {
            let deleted = channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default());
            reply("delete a queue", deleted).await?;
        }
        tracing::info!(queue, "retired queue deleted");
        Ok(false)
    }

    /// The queues that belong to a retired queue, in the order of their deletion, each with the
    /// queue that gets its messages. A retry queue dead-letters into the retired queue. That one is
    /// the last, because the others are only looked for while it exists.
    fn family(&self, queue: &str) -> Vec<(String, String)> {
        let main = Subscription::SYNC_SVC.queue.to_owned();
        let delays = self.retry_schedule.delays().iter();
        let retries = delays.map(|delay| (RetrySchedule::queue(queue, *delay), main.clone()));
        let parked = (parked_queue(queue), Subscription::SYNC_SVC.parked());
        let own = (queue.to_owned(), main.clone());
        retries.chain([parked, own]).collect()
    }
}

/// The number of consumers of a queue, or `None` if the queue does not exist.
async fn consumer_count(channel: &Channel, queue: &str) -> Result<Option<u32>, BrokerError> {
    match look_at_queue(channel, queue).await {
        Ok(found) => Ok(Some(found.consumer_count())),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves messages with their headers and returns how many. A message is in both queues for a
/// moment and never in none. Only an empty reply to `basic.get` proves that a queue has no
/// messages: the counters of a queue are 0 also if its leader does not respond.
async fn move_messages(
    connection: &Connection,
    from: &str,
    to: &str,
) -> Result<usize, BrokerError> {
    let channel = open_confirm_channel(connection).await?;
    let mut moved = 0;
    while moved < MOVE_LIMIT {
        let taken = channel.basic_get(from.into(), BasicGetOptions::default());
        let delivery = match reply("take a message", taken).await {
            Ok(Some(message)) => message.delivery,
            Ok(None) => break,
            // A retry queue that was never declared. The refusal has closed the channel.
            Err(error) if is_not_found(&error) => return Ok(moved),
            Err(error) => return Err(error),
        };
        // The deliveries of the old queue do not count in the new one.
        let changes = [("x-delivery-count", None)];
        let properties = envelope::with_headers(&delivery.properties, &changes);
        let confirm = publish(&channel, "", to, &delivery.data, properties).await?;
        confirmed(confirm).await?;
        let acknowledged = delivery.acker.ack(BasicAckOptions::default());
        reply("acknowledge", acknowledged).await?;
        moved += 1;
    }
    reply("close", channel.close(200, "done".into())).await?;
    Ok(moved)
}

fn is_not_found(error: &BrokerError) -> bool {
    let BrokerError::Amqp(error) = error else {
        return false;
    };
    let ErrorKind::ProtocolError(reply) = error.kind() else {
        return false;
    };
    *reply.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
}
