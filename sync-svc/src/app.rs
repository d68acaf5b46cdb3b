//! The application as a value: built from its configuration, run until stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::TopologyMaintenance;
use latchkey_messaging::broker::BrokerCheck;
use latchkey_messaging::consumer::Consumer;
use latchkey_messaging::outbox::{OutboxWaker, Relay, Schema};
use latchkey_messaging::topology::Subscription;
use latchkey_policy::Authorizer;
use latchkey_policy::audit::{self, Table, Writer};
use latchkey_service::background::Supervisor;
use latchkey_service::database::{DatabaseCheck, measure_pool};
use latchkey_service::grpc::Stopping;
use latchkey_service::health::{self, Readiness};
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError, shutdown};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SERVICE};
use crate::{cleanup, consumer, grpc, store, sweep};

/// CloudEvents source of everything that sync-svc publishes.
const SOURCE: &str = "/latchkey/sync-svc";

/// At shut-down the remaining audit records are written within this time.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(10);

/// sync-svc, ready to run: its listeners are bound.
#[derive(Debug)]
pub struct Application {
    config: Config,
    clock: Arc<dyn Clock>,
    grpc: TcpListener,
    health: TcpListener,
    authorizer: Authorizer,
    audit: Writer,
}

impl Application {
    /// Binds the listeners. Database and broker may still be unreachable.
    ///
    /// # Errors
    /// An address is in use, or the keys of callers' tokens cannot be read.
    pub fn build(config: Config) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (audit, writer) = audit::audit(config.pool.clone(), Table::Sync, clock.clone());
        let authorizer = Authorizer::new(
            config.policy.clone(),
            config.callers.clone(),
            audit,
            clock.clone(),
        )?;
        Ok(Self {
            grpc: listen("GRPC_LISTEN", config.grpc_listen)?,
            health: listen("HEALTH_LISTEN", config.health_listen)?,
            authorizer,
            audit: writer,
            clock,
            config,
        })
    }

    /// The address of the gRPC server.
    ///
    /// # Errors
    /// The operating system does not return it.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// The address of the health server.
    ///
    /// # Errors
    /// The operating system does not return it.
    pub fn health_address(&self) -> std::io::Result<SocketAddr> {
        self.health.local_addr()
    }

    /// Runs consumer, relay, sweep, gRPC and health until `stop`, then stops them in
    /// order: work that has begun is finished.
    ///
    /// # Errors
    /// A server failed.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), StartError> {
        let Self {
            config,
            clock,
            grpc,
            health,
            authorizer,
            audit,
        } = self;
        let pool = config.pool.clone();
        // Cancelled too if a background task fails.
        let asked = stop.child_token();
        let stop = shutdown::delayed(&asked, config.shutdown_delay);
        let supervisor = Supervisor::new(asked.clone());
        let tasks = supervisor.tasks_until(stop.clone());
        // Cancelled after the tasks above have ended: what they wrote is still
        // published, and health is still answered.
        let end = CancellationToken::new();
        let behind = supervisor.tasks_until(end.clone());

        let maintenance = TopologyMaintenance::new(
            config.broker.clone(),
            config.retry_schedule.clone(),
            config.queues_checked_every,
        );
        let outbox = OutboxWaker::default();
        let handler = consumer::EventHandler::new(
            pool.clone(),
            config.connect_mode,
            clock.clone(),
            outbox.clone(),
        );
        let consumer = Consumer::new(
            config.broker.clone(),
            Subscription::SYNC_SVC,
            Arc::new(handler),
        )
        .with_retry_schedule(config.retry_schedule)
        .with_clock(clock.clone());
        // The queues are declared before the first event is published.
        let relay = Relay::new(pool.clone(), Schema::Sync, config.broker.clone(), SOURCE)
            .publishing_after(maintenance.declared())
            .woken_by(outbox.clone());
        let readiness = Readiness::default()
            .until(asked.clone())
            .with(DatabaseCheck::new(pool.clone(), store::WRITE))
            .with(BrokerCheck::new(config.broker))
            .reporting(maintenance.refused_declarations())
            .reporting(consumer.refused_declarations())
            .reporting(relay.refused_declarations());
        tasks.spawn("maintenance of the topology", maintenance.run(stop.clone()));
        tasks.spawn("consumer", consumer.run(stop.clone()));
        behind.spawn("pool metrics", measure_pool(pool.clone(), end.clone()));
        behind.spawn("outbox relay", relay.run(end.clone()));
        tasks.spawn(
            "sweep",
            sweep::run(pool.clone(), clock.clone(), outbox.clone(), stop.clone()),
        );
        tasks.spawn("cleanup", cleanup::run(pool.clone(), stop.clone()));
        behind.spawn_fallible(
            "health endpoints",
            health::serve(health, readiness, BuildInfo::of(SERVICE), end.clone()),
        );
        // The audit writer stops after the calls that it records.
        let answered = CancellationToken::new();
        let audited = supervisor.tasks_until(answered.clone());
        audited.spawn("audit", audit.run(answered.clone()));
        authorizer.follow(&tasks);
        let tls = config.grpc_tls;
        tasks.spawn(
            "certificates of the gRPC server",
            tls.clone().watch_files(stop.clone()),
        );
        let service = grpc::AccountServer::new(pool, clock, outbox);
        let server = grpc::server(service, authorizer.clone())?;
        let stopping = Stopping { asked, stop };
        // The audit ends when the last authorizer is dropped, so this function keeps one.
        let recorder = authorizer.clone();
        tasks.spawn_fallible(
            "gRPC server",
            server.serve(grpc, tls, stopping, move |rejected| {
                recorder.record_failed_handshake(rejected);
            }),
        );

        tasks.ended().await;
        end.cancel();
        behind.ended().await;
        answered.cancel();
        audited.ended_within(AUDIT_TIMEOUT).await;
        drop(authorizer);
        config.pool.close().await;
        supervisor.outcome()
    }
}
