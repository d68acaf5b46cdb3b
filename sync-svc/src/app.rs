//! The application as a value: built from its configuration, run until stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::TopologyMaintenance;
use latchkey_messaging::broker::BrokerCheck;
use latchkey_messaging::consumer::{Consumer, Handler};
use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_messaging::topology::Subscription;
use latchkey_policy::Gate;
use latchkey_policy::audit::{self, Table, Writer};
use latchkey_service::background::Supervisor;
use latchkey_service::database::DatabaseCheck;
use latchkey_service::grpc::Stopping;
use latchkey_service::health::{self, Readiness};
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError, shutdown};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SERVICE};
use crate::{consumer, grpc, store, sweep};

/// CloudEvents source of everything that sync-svc publishes.
const SOURCE: &str = "/latchkey/sync-svc";

/// What is left of the audit is written within this time at shut-down.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(10);

/// sync-svc, ready to run: its addresses are taken.
#[derive(Debug)]
pub struct Application {
    config: Config,
    clock: Arc<dyn Clock>,
    grpc: TcpListener,
    health: TcpListener,
    gate: Gate,
    audit: Writer,
}

impl Application {
    /// Takes the addresses. Neither database nor broker need be there yet.
    ///
    /// # Errors
    /// An address is taken, or the keys of callers' tokens cannot be read.
    pub fn build(config: Config) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (audit, writer) = audit::audit(config.pool.clone(), Table::Sync, clock.clone());
        let gate = Gate::new(
            config.policy.clone(),
            config.callers.clone(),
            audit,
            clock.clone(),
        )?;
        Ok(Self {
            grpc: listen("GRPC_LISTEN", config.grpc_listen)?,
            health: listen("HEALTH_LISTEN", config.health_listen)?,
            gate,
            audit: writer,
            clock,
            config,
        })
    }

    /// Where gRPC is served.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where health is served.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn health_address(&self) -> std::io::Result<SocketAddr> {
        self.health.local_addr()
    }

    /// Runs consumers, relay, sweep, gRPC and health until `stop`, then ends
    /// them in order: what is in flight is finished.
    ///
    /// # Errors
    /// A server failed.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), StartError> {
        let Self {
            config,
            clock,
            grpc,
            health,
            gate,
            audit,
        } = self;
        let pool = config.pool.clone();
        // Cancelled too if a background task fails.
        let asked = stop.child_token();
        let stop = shutdown::delayed(&asked, config.shutdown_delay);
        let supervisor = Supervisor::new(asked.clone());
        let tasks = supervisor.tasks_until(stop.clone());
        // Ends when they have: what they wrote is published, and health is told.
        let end = CancellationToken::new();
        let behind = supervisor.tasks_until(end.clone());

        let handler: Arc<dyn Handler> = Arc::new(consumer::Events::new(
            pool.clone(),
            config.connect_mode,
            clock.clone(),
        ));
        let maintenance = TopologyMaintenance::new(
            config.broker.clone(),
            Subscription::built_in(),
            config.queues_checked_every,
        );
        let declared = maintenance.declared();
        let mut readiness = Readiness::default()
            .until(asked.clone())
            .with(DatabaseCheck::new(pool.clone(), store::WRITE))
            .with(BrokerCheck::new(config.broker.clone()))
            .reporting(maintenance.refused_declarations());
        tasks.spawn("maintenance of the topology", maintenance.run(stop.clone()));
        for subscription in Subscription::built_in() {
            let consumer = Consumer::new(config.broker.clone(), subscription, handler.clone())
                .with_retry_schedule(config.retry_schedule.clone())
                .with_clock(clock.clone());
            readiness = readiness.reporting(consumer.refused_declarations());
            tasks.spawn("consumer", consumer.run(stop.clone()));
        }
        let relay = Relay::new(pool.clone(), Schema::Sync, config.broker.clone(), SOURCE);
        readiness = readiness.reporting(relay.refused_declarations());
        let ended = end.clone();
        behind.spawn("outbox relay", async move {
            // Events have their queues before the first is published.
            tokio::select! {
                () = declared.cancelled() => relay.run(ended).await,
                () = ended.cancelled() => {}
            }
        });
        tasks.spawn(
            "sweep",
            sweep::run(pool.clone(), clock.clone(), stop.clone()),
        );
        let health = health::serve(health, readiness, BuildInfo::of(SERVICE), end.clone());
        behind.spawn_fallible("health endpoints", async {
            health
                .await
                .map_err(|error| StartError::io("health", error))
        });
        // Ends after the calls that it writes down.
        let answered = CancellationToken::new();
        let audited = supervisor.tasks_until(answered.clone());
        audited.spawn("audit", audit.run(answered.clone()));
        gate.follow(&tasks);
        let tls = config.grpc_tls;
        tasks.spawn(
            "certificates of the gRPC server",
            tls.clone().watch_files(stop.clone()),
        );
        let server = grpc::server(grpc::AccountServer::new(pool, clock), gate.clone())?;
        let stopping = Stopping { asked, stop };
        // The audit ends when the last gate is dropped, so this function keeps one.
        let door = gate.clone();
        tasks.spawn_fallible(
            "gRPC server",
            server.serve(grpc, tls, stopping, move |refused| {
                door.not_let_in(refused);
            }),
        );

        tasks.ended().await;
        end.cancel();
        behind.ended().await;
        answered.cancel();
        audited.ended_within(AUDIT_TIMEOUT).await;
        drop(gate);
        config.pool.close().await;
        supervisor.outcome()
    }
}
