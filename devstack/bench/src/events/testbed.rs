use anyhow::Context as _;
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_messaging::topology::{self, EVENTS_EXCHANGE};
use latchkey_servers::{Package, Postgres, Progress, RabbitMq, RunDirectory, ensure_installed};
use sqlx::PgPool;

use crate::database;

/// The queue of the measured messages.
pub const QUEUE: &str = "bench";
/// Their routing key.
pub const KEY: &str = "account.connected.v1";

/// PostgreSQL and RabbitMQ with one quorum queue.
pub struct EventTestbed {
    /// Connections of the superuser.
    pub pool: PgPool,
    /// The broker.
    pub broker: BrokerConfig,
    /// A connection to the broker.
    pub connection: Connection,
    channel: Channel,
    // Stopped when this value is dropped.
    _rabbitmq: RabbitMq,
    _postgres: Postgres,
    _directory: RunDirectory,
}

impl EventTestbed {
    /// Starts both servers and declares the queue, which is the only one.
    pub async fn start(progress: &Progress) -> anyhow::Result<Self> {
        ensure_installed(&[Package::Postgres, Package::RabbitMq], progress)?;
        let directory = RunDirectory::create("bench-events")?;
        progress("starting PostgreSQL and RabbitMQ");
        let postgres = Postgres::start_durable(directory.path()).await?;
        let pool = database::create(&postgres, 8).await?;
        let rabbitmq = RabbitMq::start(directory.path()).await?;
        let broker = BrokerConfig::parse(&rabbitmq.url(), "bench")?;
        let connection = broker.connect().await?;
        topology::declare_exchanges(&connection).await?;
        let channel = connection.create_channel().await?;
        let mut quorum = FieldTable::default();
        quorum.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        channel
            .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), quorum)
            .await?;
        channel
            .queue_bind(
                QUEUE.into(),
                EVENTS_EXCHANGE.into(),
                KEY.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .context("bind the queue")?;
        Ok(Self {
            pool,
            broker,
            connection,
            channel,
            _rabbitmq: rabbitmq,
            _postgres: postgres,
            _directory: directory,
        })
    }

    /// A relay of the outbox that does not run yet.
    pub fn relay(&self) -> Relay {
        let (pool, broker) = (self.pool.clone(), self.broker.clone());
        Relay::new(pool, Schema::Sync, broker, "/latchkey/bench")
    }

    /// Removes all messages from the queue. Returns how many there were.
    pub async fn empty_queue(&self) -> anyhow::Result<u32> {
        let purged = self
            .channel
            .queue_purge(QUEUE.into(), QueuePurgeOptions::default());
        Ok(purged.await?)
    }
}
