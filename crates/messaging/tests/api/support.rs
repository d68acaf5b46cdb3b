use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use lapin::options::QueueDeclareOptions;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, QueueBindOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use latchkey_domain::EventId;
use latchkey_messaging::outbox::{Message, Relay, Schema, enqueue};
use latchkey_messaging::topology::{self, EVENTS_EXCHANGE, RetrySchedule};
use latchkey_messaging::{BrokerConfig, TopologyMaintenance};
use latchkey_proto::events::{AccountConnected, ChannelStatusChanged, UserAuthenticated};
pub use latchkey_testkit::eventually;
use latchkey_testkit::{TestBroker, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub fn config(url: &str) -> BrokerConfig {
    BrokerConfig::parse(url, "test").unwrap()
}

/// A task that can be stopped and awaited.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
        let stop = CancellationToken::new();
        Self {
            task: tokio::spawn(run(stop.clone())),
            stop,
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .expect("did not stop")
            .unwrap();
    }
}

pub fn relay(database: &TestDatabase, url: &str) -> Running {
    let relay = relay_of(database, url);
    Running::start(move |stop| relay.run(stop))
}

/// A relay of that outbox that does not run yet.
pub fn relay_of(database: &TestDatabase, url: &str) -> Relay {
    Relay::new(
        database.pool().clone(),
        Schema::Sync,
        config(url),
        "/latchkey/test",
    )
}

/// Maintains the topology with short intervals.
pub fn maintenance(broker: &TestBroker, retry_schedule: RetrySchedule) -> Running {
    let interval = Duration::from_millis(100);
    let maintenance = TopologyMaintenance::new(config(broker.url()), retry_schedule, interval)
        .with_quiet_period(Duration::from_secs(1));
    Running::start(move |stop| maintenance.run(stop))
}

/// Removes a binding to the exchange of events.
pub async fn unbind(connection: &Connection, queue: &str, key: &str) {
    let channel = connection.create_channel().await.unwrap();
    channel
        .queue_unbind(
            queue.into(),
            EVENTS_EXCHANGE.into(),
            key.into(),
            FieldTable::default(),
        )
        .await
        .unwrap();
}

/// Declares a queue that rejects every event of this type. Returns the channel.
pub async fn reject_all(connection: &Connection, queue: &str, key: &str) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongLongInt(0));
    full.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), full)
        .await
        .unwrap();
    bind(&channel, queue, key).await;
    channel
}

/// Binds a queue to the events of this type.
pub async fn bind(channel: &Channel, queue: &str, key: &str) {
    channel
        .queue_bind(
            queue.into(),
            EVENTS_EXCHANGE.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
}

/// Publishes an event to its exchange until the broker confirms.
pub async fn publish_event(connection: &Connection, event_type: &str, id: EventId) {
    let channel = connection.create_channel().await.unwrap();
    latchkey_testkit::publish_confirmed(
        &channel,
        EVENTS_EXCHANGE,
        event_type,
        properties(id, event_type),
        &body(),
    )
    .await;
}

/// Commits events and returns their ids.
pub async fn commit_events(database: &TestDatabase, count: usize) -> Vec<EventId> {
    let mut transaction = database.pool().begin().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..count {
        let id = EventId::generate();
        let event = AccountConnected {
            account_id: number.to_string(),
            ..AccountConnected::default()
        };
        let message = Message::event(id, number, &event);
        enqueue(&mut transaction, Schema::Sync, message)
            .await
            .unwrap();
        ids.push(id);
    }
    transaction.commit().await.unwrap();
    ids
}

/// Commits events of another type.
pub async fn commit_status_changes(database: &TestDatabase, count: usize) {
    let mut transaction = database.pool().begin().await.unwrap();
    for number in 0..count {
        let event = ChannelStatusChanged::default();
        let message = Message::event(EventId::generate(), number, &event);
        enqueue(&mut transaction, Schema::Sync, message)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
}

pub async fn outbox_rows(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM sync.outbox")
        .fetch_one(database.pool())
        .await
        .unwrap()
}

/// Counts the messages of its own queue by event id.
pub struct Collector {
    seen: Arc<Mutex<HashMap<String, usize>>>,
    last: Arc<Mutex<Option<BasicProperties>>>,
    connection: Connection,
}

impl Collector {
    /// With all queues.
    pub async fn bind(broker: &TestBroker, routing_key: &str) -> Self {
        let this = Self::bind_alone(broker, routing_key).await;
        // Afterwards, so that meanwhile this queue is the only one.
        topology::declare(&this.connection).await.unwrap();
        this
    }

    /// With the exchanges, and without any other queue.
    pub async fn bind_alone(broker: &TestBroker, routing_key: &str) -> Self {
        let connection = config(broker.url()).connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        topology::declare_exchanges(&connection).await.unwrap();
        channel
            .queue_declare(
                "collector".into(),
                QueueDeclareOptions::durable(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        bind(&channel, "collector", routing_key).await;
        Self::consume(connection, channel).await
    }

    /// Continues with the queue of an earlier collector whose connection was cut.
    pub async fn resume(broker: &TestBroker) -> Self {
        let connection = config(broker.url()).connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self::consume(connection, channel).await
    }

    async fn consume(connection: Connection, channel: Channel) -> Self {
        let mut deliveries = channel
            .basic_consume(
                "collector".into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let last = Arc::new(Mutex::new(None));
        let (counts, newest) = (seen.clone(), last.clone());
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = deliveries.next().await {
                let id = delivery
                    .properties
                    .message_id()
                    .clone()
                    .unwrap()
                    .to_string();
                *newest.lock().unwrap() = Some(delivery.properties.clone());
                if delivery.ack(BasicAckOptions::default()).await.is_ok() {
                    *counts.lock().unwrap().entry(id).or_insert(0) += 1;
                }
            }
        });
        Self {
            seen,
            last,
            connection,
        }
    }

    pub fn seen(&self) -> HashMap<String, usize> {
        self.seen.lock().unwrap().clone()
    }

    pub fn has_all(&self, ids: &[EventId]) -> bool {
        let seen = self.seen.lock().unwrap();
        ids.iter().all(|id| seen.contains_key(&id.to_string()))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let last = self.last.lock().unwrap();
        let value = last.as_ref()?.headers().as_ref()?.inner().get(name)?;
        value.as_long_string().map(ToString::to_string)
    }
}

/// The headers of a well-formed event of this type.
pub fn properties(id: EventId, event_type: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("cloudEvents:id", id.to_string()),
        ("cloudEvents:source", "/test".to_owned()),
        ("cloudEvents:type", event_type.to_owned()),
        ("cloudEvents:specversion", "1.0".to_owned()),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default()
        .with_content_type("application/protobuf".into())
        .with_headers(headers)
}

/// Publishes to a queue until the broker confirms.
pub async fn publish(broker: &TestBroker, queue: &str, properties: BasicProperties, body: &[u8]) {
    let connection = config(broker.url()).connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    latchkey_testkit::publish_confirmed(&channel, "", queue, properties, body).await;
    connection.close(200, "done".into()).await.unwrap();
}

/// A decodable `user.authenticated.v1`.
pub fn body() -> Vec<u8> {
    prost::Message::encode_to_vec(&UserAuthenticated {
        workspace_id: "w".to_owned(),
        ..UserAuthenticated::default()
    })
}
