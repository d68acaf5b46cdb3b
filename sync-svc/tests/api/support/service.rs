//! Starts replicas of sync-svc on free ports, with a database and a broker of their own.

use std::net::SocketAddr;
use std::time::Duration;

use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use latchkey_config::Environment;
use latchkey_domain::EventId;
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::outbox::Event;
use latchkey_messaging::topology::{self, EVENTS_EXCHANGE};
use latchkey_proto::account::account_service_client::AccountServiceClient;
use latchkey_testkit::{KeyPairFiles, Role, TestBroker, TestCertificates, TestDatabase};
use sync_svc::{Application, Config};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel as GrpcChannel, ClientTlsConfig, Identity};

/// A queue of the tests that is bound to every event of sync-svc.
const OBSERVER: &str = "observer";

pub struct TestService {
    pub database: TestDatabase,
    pub broker: TestBroker,
    pub certificates: TestCertificates,
    connection: Connection,
    channel: Channel,
    replicas: Vec<Replica>,
}

struct Replica {
    grpc: SocketAddr,
    health: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl TestService {
    pub async fn start() -> Self {
        Self::start_with(1, &[]).await
    }

    /// Starts this number of replicas with further variables.
    pub async fn start_with(replicas: usize, variables: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let database = TestDatabase::create().await;
        let broker = TestBroker::create().await;
        let certificates = TestCertificates::create();
        let connection = BrokerConfig::parse(broker.url(), "test")
            .unwrap()
            .connect()
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        assert_eq!(topology::declare(&connection).await.unwrap(), []);
        observe(&channel).await;
        let mut service = Self {
            database,
            broker,
            certificates,
            connection,
            channel,
            replicas: Vec::new(),
        };
        for _ in 0..replicas {
            service.start_replica(variables);
        }
        service
    }

    pub fn start_replica(&mut self, variables: &[(&str, &str)]) {
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let own = [
            ("DATABASE_URL", self.database.url(Role::Sync)),
            // Code that holds a connection and waits for another deadlocks.
            ("DATABASE_MAX_CONNECTIONS", "1".to_owned()),
            ("AMQP_URL", self.broker.url().to_owned()),
            ("GRPC_LISTEN", "127.0.0.1:0".to_owned()),
            ("HEALTH_LISTEN", "127.0.0.1:0".to_owned()),
            ("POLICY", "any-certificate".to_owned()),
            ("SHUTDOWN_DELAY", "0s".to_owned()),
            ("RETRY_DELAYS", "200ms".to_owned()),
            (
                "GRPC_TLS_CERT_FILE",
                path(&self.certificates.server.certificate),
            ),
            ("GRPC_TLS_KEY_FILE", path(&self.certificates.server.key)),
            (
                "GRPC_TLS_CLIENT_CA_FILE",
                path(&self.certificates.authority),
            ),
        ];
        let further = variables.iter().map(|(k, v)| (*k, (*v).to_owned()));
        let environment: Environment = own.into_iter().chain(further).collect();
        let config = Config::from_environment(&environment).unwrap();
        let application = Application::build(config).unwrap();
        let grpc = application.grpc_address().unwrap();
        let health = application.health_address().unwrap();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            application.run_until_stopped(token).await.unwrap();
        });
        self.replicas.push(Replica {
            grpc,
            health,
            stop,
            task,
        });
    }

    /// The status of `/readyz` of the first replica.
    pub async fn ready(&self) -> u16 {
        self.health("/readyz").await.0
    }

    /// Status and body of a path of the first replica's health server.
    pub async fn health(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let address = self.replicas[0].health;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        (status, body)
    }

    /// Removes the binding of a queue to the exchange of events.
    pub async fn unbind(&self, queue: &str, key: &str) {
        let channel = self.connection.create_channel().await.unwrap();
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

    /// Number of messages in a queue.
    pub async fn waiting(&self, queue: &str) -> u32 {
        self.queue(queue).await.message_count()
    }

    /// Number of consumers of a queue.
    pub async fn consumers(&self, queue: &str) -> u32 {
        self.queue(queue).await.consumer_count()
    }

    async fn queue(&self, queue: &str) -> lapin::Queue {
        let channel = self.connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await
            .unwrap();
        channel.close(200, "done".into()).await.unwrap();
        declared
    }

    /// Requests the first replica to stop.
    pub fn request_shutdown(&self) {
        self.replicas[0].stop.cancel();
    }

    /// Stops the replicas one after another.
    pub async fn stop_replicas(&mut self) {
        for replica in self.replicas.drain(..) {
            replica.stop.cancel();
            tokio::time::timeout(Duration::from_secs(30), replica.task)
                .await
                .expect("did not stop")
                .unwrap();
        }
    }

    pub async fn publish<E: Event>(&self, id: EventId, event: &E) {
        self.publish_raw(id, E::ROUTING_KEY, &event.encode_to_vec())
            .await;
    }

    /// Publishes a message without the headers of CloudEvents.
    pub async fn publish_without_id(&self, event_type: &str, body: &[u8]) {
        latchkey_testkit::publish_confirmed(
            &self.channel,
            EVENTS_EXCHANGE,
            event_type,
            lapin::BasicProperties::default(),
            body,
        )
        .await;
    }

    pub async fn publish_raw(&self, id: EventId, event_type: &str, body: &[u8]) {
        latchkey_testkit::publish_confirmed(
            &self.channel,
            EVENTS_EXCHANGE,
            event_type,
            properties(id, event_type),
            body,
        )
        .await;
    }

    pub async fn client(&self) -> AccountServiceClient<GrpcChannel> {
        self.client_as(&self.certificates.client).await
    }

    pub async fn client_as(&self, own: &KeyPairFiles) -> AccountServiceClient<GrpcChannel> {
        AccountServiceClient::new(self.channel_as(own).await)
    }

    pub async fn channel_as(&self, own: &KeyPairFiles) -> GrpcChannel {
        let read = |path| std::fs::read(path).unwrap();
        let identity = Identity::from_pem(read(&own.certificate), read(&own.key));
        let tls = self.tls().identity(identity);
        self.connect_with(tls).await.unwrap()
    }

    /// An account as other services see it.
    pub async fn account(&self, id: uuid::Uuid) -> latchkey_proto::account::Account {
        let request = latchkey_proto::account::GetAccountRequest {
            account_id: id.to_string(),
        };
        let answer = self.client().await.get_account(request).await.unwrap();
        answer.into_inner().account.unwrap()
    }

    /// TLS without a client certificate that trusts the test's authority.
    pub fn tls(&self) -> ClientTlsConfig {
        let authority = std::fs::read(&self.certificates.authority).unwrap();
        ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(authority))
    }

    pub async fn connect_with(
        &self,
        tls: ClientTlsConfig,
    ) -> Result<GrpcChannel, tonic::transport::Error> {
        let address = format!("https://{}", self.replicas[0].grpc);
        GrpcChannel::from_shared(address)
            .unwrap()
            .tls_config(tls)
            .unwrap()
            .connect()
            .await
    }

    /// Takes the published events from the observer's queue: type and body.
    pub async fn observed(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some(message) = self
            .channel
            .basic_get(
                OBSERVER.into(),
                lapin::options::BasicGetOptions { no_ack: true },
            )
            .await
            .unwrap()
        {
            found.push((
                message.delivery.routing_key.to_string(),
                message.delivery.data.clone(),
            ));
        }
        found
    }

    /// Takes the jobs from a queue.
    pub async fn jobs(&self, queue: &str) -> Vec<latchkey_proto::events::SyncJob> {
        let mut found = Vec::new();
        while let Some(message) = self
            .channel
            .basic_get(
                queue.into(),
                lapin::options::BasicGetOptions { no_ack: true },
            )
            .await
            .unwrap()
        {
            found.push(prost::Message::decode(message.delivery.data.as_slice()).unwrap());
        }
        found
    }
}

async fn observe(channel: &Channel) {
    channel
        .queue_declare(
            OBSERVER.into(),
            QueueDeclareOptions::durable(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    for key in ["account.connected.v1", "channel.status_changed.v1"] {
        channel
            .queue_bind(
                OBSERVER.into(),
                EVENTS_EXCHANGE.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
    }
}

fn properties(id: EventId, event_type: &str) -> BasicProperties {
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
        .with_delivery_mode(2)
        .with_headers(headers)
}
