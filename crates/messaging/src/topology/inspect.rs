//! Looks at exchanges and queues without changing them.

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ExchangeKind};

use super::declare::refusal;
use super::names::{
    EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue, RECENT_QUEUE, Subscription, UNROUTED_EXCHANGE,
    UNROUTED_QUEUE,
};
use crate::broker::{BrokerError, look_at_queue, reply};

/// What the broker says about an exchange or a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// An exchange is there.
    Exchange,
    /// A queue is there.
    Queue {
        /// Messages that are ready.
        messages: u32,
        /// Consumers of the queue.
        consumers: u32,
    },
    /// The broker refuses to show it: it does not exist, or the user has no right to it.
    Refused(String),
}

/// An exchange or a queue of the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// `exchange <name>` or `queue <name>`.
    pub name: String,
    /// What the broker says.
    pub presence: Presence,
}

/// Looks at every exchange and every queue of the topology, by passive declarations.
///
/// # Errors
/// The broker does not reply, or the connection ends.
pub async fn inspect(connection: &Connection) -> Result<Vec<Inspected>, BrokerError> {
    let mut inspector = Inspector {
        channel: reply("open a channel", connection.create_channel()).await?,
        connection,
        found: Vec::new(),
    };
    for (name, kind) in [
        (EVENTS_EXCHANGE, ExchangeKind::Topic),
        (JOBS_EXCHANGE, ExchangeKind::Direct),
        (UNROUTED_EXCHANGE, ExchangeKind::Fanout),
    ] {
        inspector.exchange(name, kind).await?;
    }
    let own = Subscription::SYNC_SVC;
    let parked = own.parked();
    for name in [
        own.queue,
        &parked,
        UNROUTED_QUEUE,
        RECENT_QUEUE,
        JobQueue::Messaging.queue(),
        JobQueue::Calendar.queue(),
    ] {
        inspector.queue(name).await?;
    }
    let closed = reply("close", inspector.channel.close(200, "inspected".into()));
    if let Err(error) = closed.await {
        tracing::debug!(%error, "channel was closed already");
    }
    Ok(inspector.found)
}

/// Continues after a refusal, which closes the channel.
struct Inspector<'a> {
    connection: &'a Connection,
    channel: Channel,
    found: Vec<Inspected>,
}

impl Inspector<'_> {
    async fn exchange(&mut self, name: &str, kind: ExchangeKind) -> Result<(), BrokerError> {
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared =
            self.channel
                .exchange_declare(name.into(), kind, passive, FieldTable::default());
        let outcome = reply("look at the exchange", declared).await;
        let outcome = outcome.map(|()| Presence::Exchange);
        self.note(format!("exchange {name}"), outcome).await
    }

    async fn queue(&mut self, name: &str) -> Result<(), BrokerError> {
        let outcome = look_at_queue(&self.channel, name).await;
        let outcome = outcome.map(|queue| Presence::Queue {
            messages: queue.message_count(),
            consumers: queue.consumer_count(),
        });
        self.note(format!("queue {name}"), outcome).await
    }

    async fn note(
        &mut self,
        name: String,
        outcome: Result<Presence, BrokerError>,
    ) -> Result<(), BrokerError> {
        let presence = match outcome {
            Ok(presence) => presence,
            Err(error) => {
                let refused = refusal(&error).ok_or(error)?;
                let channel = self.connection.create_channel();
                self.channel = reply("open a channel", channel).await?;
                Presence::Refused(refused)
            }
        };
        self.found.push(Inspected { name, presence });
        Ok(())
    }
}
