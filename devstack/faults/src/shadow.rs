//! The shadow queue: it is bound to every event and every job, and tells which events RabbitMQ
//! received.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use latchkey_messaging::topology::{
    EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue, OPTIONAL_EVENTS, SYNC_SVC_QUEUE, Subscription,
    UNROUTED_EXCHANGE, declare, parked_queue,
};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Name of the queue.
pub const SHADOW_QUEUE: &str = "faults.shadow";
/// Messages that are kept for the faults that publish them again.
const SAMPLES: usize = 8;
/// Messages that are received before the first of them is acknowledged.
const PREFETCH: u16 = 500;
/// Pause before the next connection after one was lost.
const PAUSE: Duration = Duration::from_millis(200);
/// Time limit of a connection, and of the reading of a parked message.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A message of a sign-in.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its properties.
    pub properties: BasicProperties,
    /// Its body.
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Received {
    /// How often, by the id of the event.
    seen: BTreeMap<Uuid, u64>,
    samples: VecDeque<Sample>,
}

/// The shadow queue and its consumer, which stops when this value is dropped.
#[derive(Debug)]
pub struct Shadow {
    url: String,
    received: Arc<Mutex<Received>>,
    consumer: AbortHandle,
}

impl Shadow {
    /// Declares and binds the queue, and starts its consumer.
    ///
    /// # Errors
    /// RabbitMQ refuses.
    pub async fn start(url: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        declare(&connection).await?;
        bind(&connection.create_channel().await?).await?;
        let received = Arc::default();
        let consumer = tokio::spawn(consume(url.to_owned(), Arc::clone(&received)));
        Ok(Self {
            url: url.to_owned(),
            received,
            consumer: consumer.abort_handle(),
        })
    }

    /// Returns how often each event was received, by its id.
    pub fn seen(&self) -> BTreeMap<Uuid, u64> {
        locked(&self.received).seen.clone()
    }

    /// Returns some of the newest messages of sign-ins.
    pub fn samples(&self) -> Vec<Sample> {
        locked(&self.received).samples.iter().cloned().collect()
    }

    /// Returns the number of messages that wait in the queue.
    ///
    /// # Errors
    /// RabbitMQ does not answer.
    pub async fn waiting(&self) -> anyhow::Result<u32> {
        timeout(TIMEOUT, async {
            let connection =
                Connection::connect(&self.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let queue = channel
                .queue_declare(SHADOW_QUEUE.into(), options, FieldTable::default())
                .await?;
            Ok(queue.message_count())
        })
        .await
        .context("RabbitMQ does not answer")?
    }

    /// Returns the events in the parking queue of sync-svc, which stay there.
    ///
    /// # Errors
    /// RabbitMQ does not answer.
    pub async fn parked(&self) -> anyhow::Result<BTreeSet<Uuid>> {
        let opened = timeout(TIMEOUT, async {
            let connection =
                Connection::connect(&self.url, ConnectionProperties::default()).await?;
            connection.create_channel().await
        });
        let channel = opened.await.context("RabbitMQ does not answer")??;
        let queue = ShortString::from(parked_queue(SYNC_SVC_QUEUE));
        let mut parked = BTreeSet::new();
        loop {
            // What is not acknowledged returns into the queue with the end of the connection.
            let options = BasicGetOptions { no_ack: false };
            let message = timeout(TIMEOUT, channel.basic_get(queue.clone(), options));
            let message = message.await.context("RabbitMQ does not answer")??;
            let Some(message) = message else {
                return Ok(parked);
            };
            parked.extend(event_id(&message.delivery.properties));
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.consumer.abort();
    }
}

fn locked(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Binds the queue by key, so that a fault can unbind some of them.
async fn bind(channel: &Channel) -> anyhow::Result<()> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    let kind = AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), kind);
    channel
        .queue_declare(SHADOW_QUEUE.into(), options, arguments)
        .await?;
    let events = Subscription::SYNC_SVC.routing_keys.iter();
    let events = events.chain(&OPTIONAL_EVENTS);
    let events = events.map(|key| (EVENTS_EXCHANGE, *key));
    let jobs = [JobQueue::Messaging, JobQueue::Calendar];
    let jobs = jobs
        .into_iter()
        .map(|jobs| (JOBS_EXCHANGE, jobs.routing_key()));
    for (exchange, key) in events.chain(jobs).chain([(UNROUTED_EXCHANGE, "")]) {
        channel
            .queue_bind(
                SHADOW_QUEUE.into(),
                exchange.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

/// Receives messages for ever, through any failure of RabbitMQ.
async fn consume(url: String, received: Arc<Mutex<Received>>) {
    loop {
        let _ = consume_once(&url, &received).await;
        sleep(PAUSE).await;
    }
}

async fn consume_once(url: &str, received: &Mutex<Received>) -> anyhow::Result<()> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection = timeout(TIMEOUT, connecting).await??;
    let channel = connection.create_channel().await?;
    let options = BasicQosOptions::default();
    channel.basic_qos(PREFETCH, options).await?;
    let mut deliveries = channel
        .basic_consume(
            SHADOW_QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        record(received, &delivery);
        delivery.acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

fn record(received: &Mutex<Received>, delivery: &Delivery) {
    let mut received = locked(received);
    if let Some(id) = event_id(&delivery.properties) {
        *received.seen.entry(id).or_default() += 1;
    }
    let [sign_in, ..] = Subscription::SYNC_SVC.routing_keys else {
        return;
    };
    if delivery.routing_key.as_str() == *sign_in {
        if received.samples.len() == SAMPLES {
            received.samples.pop_front();
        }
        received.samples.push_back(Sample {
            properties: delivery.properties.clone(),
            body: delivery.data.clone(),
        });
    }
}

fn event_id(properties: &BasicProperties) -> Option<Uuid> {
    let id = properties.message_id().as_ref()?;
    id.as_str().parse().ok()
}
