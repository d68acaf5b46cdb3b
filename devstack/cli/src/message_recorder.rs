//! Records the messages of the exchanges with its own queue, as any consumer may.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties};
use latchkey_messaging::topology::{EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue, declare};

/// A message that was published.
#[derive(Debug, Clone)]
pub struct RecordedMessage {
    /// Exchange to which it was published.
    pub exchange: String,
    /// Routing key; the type of an event.
    pub routing_key: String,
    /// Header `cloudEvents:id`.
    pub id: String,
    /// Header `cloudEvents:type`.
    pub event_type: String,
    /// Header `traceparent`; empty if it is absent.
    pub traceparent: String,
    /// Body of the message.
    pub payload: Vec<u8>,
}

/// A recorder with a queue that is bound to every event and every job.
#[derive(Debug)]
pub struct MessageRecorder {
    channel: Channel,
    queue: ShortString,
    recorded: Vec<RecordedMessage>,
    _connection: Connection,
}

impl MessageRecorder {
    /// Declares and binds the queue. All messages that are published afterwards are recorded.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn bind(amqp_url: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(amqp_url, ConnectionProperties::default())
            .await
            .context("cannot connect to RabbitMQ")?;
        let channel = connection.create_channel().await?;
        declare(&connection).await?;
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare("".into(), options, FieldTable::default())
            .await?
            .name()
            .clone();
        for (exchange, key) in [
            (EVENTS_EXCHANGE, "#"),
            (JOBS_EXCHANGE, JobQueue::Messaging.routing_key()),
            (JOBS_EXCHANGE, JobQueue::Calendar.routing_key()),
        ] {
            channel
                .queue_bind(
                    queue.clone(),
                    exchange.into(),
                    key.into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        Ok(Self {
            channel,
            queue,
            recorded: Vec::new(),
            _connection: connection,
        })
    }

    /// Reads the messages of the queue and returns all that were recorded so far.
    ///
    /// # Errors
    /// The connection to the broker is lost.
    pub async fn all(&mut self) -> anyhow::Result<&[RecordedMessage]> {
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get(self.queue.clone(), options).await? {
            let delivery = message.delivery;
            let headers = delivery.properties.headers().clone().unwrap_or_default();
            self.recorded.push(RecordedMessage {
                exchange: delivery.exchange.to_string(),
                routing_key: delivery.routing_key.to_string(),
                id: header(&headers, "cloudEvents:id"),
                event_type: header(&headers, "cloudEvents:type"),
                traceparent: header(&headers, "traceparent"),
                payload: delivery.data.clone(),
            });
        }
        Ok(&self.recorded)
    }

    /// Waits for a message for which `wanted` returns `true`, including recorded ones.
    ///
    /// # Errors
    /// There is no such message within `timeout`, or the connection to the broker is lost.
    pub async fn wait_for(
        &mut self,
        what: &str,
        timeout: Duration,
        wanted: impl Fn(&RecordedMessage) -> bool,
    ) -> anyhow::Result<RecordedMessage> {
        let begun = Instant::now();
        loop {
            let seen = self.all().await?;
            if let Some(found) = seen.iter().find(|message| wanted(message)) {
                return Ok(found.clone());
            }
            if begun.elapsed() > timeout {
                let keys: Vec<&str> = seen
                    .iter()
                    .map(|message| message.routing_key.as_str())
                    .collect();
                anyhow::bail!("{what} was not published within {timeout:?}; recorded: {keys:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the number of messages that are ready in a queue.
    ///
    /// # Errors
    /// The queue does not exist.
    pub async fn waiting_on(&self, queue: &str) -> anyhow::Result<u32> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await?;
        Ok(queue.message_count())
    }
}

fn header(headers: &FieldTable, name: &str) -> String {
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        Some(AMQPValue::ShortString(text)) => text.to_string(),
        _ => String::new(),
    }
}
