//! The application: built from a configuration, then run until stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use latchkey_messaging::broker::{BrokerCheck, BrokerConfig};
use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_opening::OpeningKeys;
use latchkey_policy::Authorizer;
use latchkey_policy::audit::{self, Table};
use latchkey_service::background::Supervisor;
use latchkey_service::database::measure_pool;
use latchkey_service::grpc::{GrpcServer, ServerTls, Stopping};
use latchkey_service::health::{self, Readiness};
use latchkey_service::metrics::sample;
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError, shutdown};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::change_notifications::{self, ChangeNotifier};
use crate::config::Config;
use crate::disconnect_requests;
use crate::engine::{Engine, Parts};
use crate::grpc::{self, CallerLimits};
use crate::metrics;
use crate::reseal;
use crate::store::{Connections, DatabaseServes, Store};
use crate::upstream::Upstreams;
use latchkey_service::jitter::Jitter;

/// Refreshes are still begun for this time after the callers were told to use another replica.
const HANDOFF: Duration = Duration::from_secs(2);
/// Background tasks get this long to end.
const GRACE: Duration = Duration::from_secs(10);

/// The service with bound listeners, before it serves.
pub struct Application {
    grpc_address: SocketAddr,
    health_address: SocketAddr,
    grpc_listener: TcpListener,
    health_listener: TcpListener,
    grpc: GrpcServer<Authorizer>,
    authorizer: Authorizer,
    tls: ServerTls,
    audit: audit::Writer,
    engine: Engine,
    cache: Arc<Cache>,
    notifier: ChangeNotifier,
    connections: Connections,
    broker: BrokerConfig,
    keys: OpeningKeys,
    reseal_every: Duration,
    shutdown_delay: Duration,
    jitter_seed: u64,
}

impl Application {
    /// Binds both addresses. Port 0 takes a free port.
    ///
    /// # Errors
    /// An address is taken, or a certificate is invalid.
    pub fn build(config: Config) -> Result<Self, StartError> {
        metrics::describe();
        let cache = Arc::new(Cache::new(config.cache_capacity, config.cache_revalidate));
        let notifier = ChangeNotifier::default();
        let connections = Connections::new(&config.pool);
        let (audit, audit_writer) = audit::audit(
            connections.pool().clone(),
            Table::Vault,
            Arc::clone(&config.clock),
        );
        let authorizer = Authorizer::new(
            config.policy,
            config.callers,
            audit,
            Arc::clone(&config.clock),
        )?;
        let limits = CallerLimits {
            waiting: config.most_waiting,
            watching: config.most_watchers / 2,
        };
        let seed = config.clock.now().unix_timestamp().unsigned_abs();
        let engine = Engine::new(Parts {
            store: Store::on(connections.clone()),
            keys: config.keys.clone(),
            providers: config.providers,
            upstreams: Upstreams::new(config.limits),
            cache: Arc::clone(&cache),
            notifier: notifier.clone(),
            clock: config.clock,
            jitter: Jitter::of_system(seed),
            timing: config.timing,
            ahead_window: config.ahead_window,
            most_watchers: config.most_watchers,
        });
        let grpc = grpc::server(engine.clone(), authorizer.clone(), limits)?;
        let grpc_listener = listen("GRPC_LISTEN", config.grpc_listen)?;
        let health_listener = listen("HEALTH_LISTEN", config.health_listen)?;
        let address = |error| StartError::io("cannot determine the address of a listener", error);
        Ok(Self {
            grpc_address: grpc_listener.local_addr().map_err(address)?,
            health_address: health_listener.local_addr().map_err(address)?,
            grpc_listener,
            health_listener,
            grpc,
            authorizer,
            tls: config.tls,
            audit: audit_writer,
            engine,
            cache,
            notifier,
            connections,
            broker: config.broker,
            keys: config.keys,
            reseal_every: config.reseal_every,
            shutdown_delay: config.shutdown_delay,
            jitter_seed: seed,
        })
    }

    /// Address of the gRPC server.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Address of the health endpoints.
    pub fn health_address(&self) -> SocketAddr {
        self.health_address
    }

    /// Serves until `stop` is cancelled and for `SHUTDOWN_DELAY` after that. During the
    /// delay the service reports that it is not ready. Then it waits for running calls
    /// and refreshes.
    ///
    /// # Errors
    /// Returned if a server ends unexpectedly, or a background task fails.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), StartError> {
        // Cancelled too if a background task fails.
        let asked = stop.child_token();
        let stop = shutdown::delayed(&asked, self.shutdown_delay);
        // Ends after the calls and refreshes that need them.
        let background = CancellationToken::new();
        let _guard = background.clone().drop_guard();
        let supervisor = Supervisor::new(asked.clone());
        let serving = supervisor.tasks_until(stop.clone());
        let workers = supervisor.tasks_until(stop.clone());
        let behind = supervisor.tasks_until(background.clone());
        let engine = self.engine;
        grpc::create_metrics(&engine);
        behind.spawn(
            "pool metrics",
            measure_pool(self.connections.pool().clone(), background.clone()),
        );
        let cache = Arc::clone(&self.cache);
        behind.spawn(
            "cache metrics",
            sample(background.clone(), move || {
                metrics::cached_accounts(cache.len());
            }),
        );

        let relay = Relay::new(
            self.connections.pool().clone(),
            Schema::Vault,
            self.broker.clone(),
            "/latchkey/refresh-svc",
        )
        .woken_by(self.connections.outbox().clone());
        let readiness = Readiness::default()
            .until(asked.clone())
            .with(DatabaseServes(self.connections.clone()))
            // Without the broker, events wait in the outbox.
            .reporting(BrokerCheck::new(self.broker))
            .reporting(relay.refused_declarations());
        // Messages in flight are confirmed or stay in the outbox.
        behind.spawn("outbox relay", relay.run(background.clone()));
        behind.spawn(
            "change notifications",
            change_notifications::run(
                self.connections.clone(),
                self.cache,
                self.notifier,
                background.clone(),
            ),
        );
        self.authorizer.follow(&behind);
        behind.spawn(
            "certificates of the gRPC server",
            self.tls.clone().watch_files(background.clone()),
        );
        behind.spawn(
            "keys of clients at providers",
            engine
                .providers()
                .clone()
                .watch_client_keys(background.clone()),
        );
        behind.spawn("audit", self.audit.run(background.clone()));
        behind.spawn(
            "partitions of the audit",
            audit::prepare_partitions(self.connections.pool().clone(), background.clone()),
        );
        behind.spawn(
            "re-sealing",
            reseal::run(
                Store::on(self.connections.clone()),
                self.keys,
                Jitter::of_system(self.jitter_seed),
                self.reseal_every,
                background.clone(),
            ),
        );
        behind.spawn_fallible(
            "health endpoints",
            health::serve(
                self.health_listener,
                readiness,
                BuildInfo::of("refresh-svc"),
                background.clone(),
            ),
        );
        // The first three end when the engine stops, which is after `stop`.
        workers.spawn("refreshes ahead of expiry", engine.clone().refresh_ahead());
        workers.spawn("renewal of grants", engine.clone().renew_grants());
        workers.spawn("idle accounts", engine.clone().drop_idle());
        workers.spawn(
            "disconnection of members who left",
            disconnect_requests::run(Store::on(self.connections), engine.clone(), stop.clone()),
        );
        // The audit ends when the last authorizer is dropped, so this function keeps one.
        let authorizer = self.authorizer.clone();
        let stopping = Stopping {
            asked,
            stop: stop.clone(),
        };
        serving.spawn_fallible(
            "gRPC server",
            self.grpc
                .serve(self.grpc_listener, self.tls, stopping, move |refused| {
                    authorizer.record_failed_handshake(refused);
                }),
        );
        tracing::info!(grpc = %self.grpc_address, health = %self.health_address, "serving");

        stop.cancelled().await;
        // A call that was on its way, or that waits for its turn, would fail without its refresh.
        let _ = tokio::time::timeout(HANDOFF, serving.ended()).await;
        // Ends the watches: they would keep their connections open.
        engine.begin_shutdown();
        serving.ended().await;
        if !engine.finish().await {
            tracing::warn!("refreshes were cut off: they outlasted their lease");
        }
        background.cancel();
        workers.ended_within(GRACE).await;
        behind.ended_within(GRACE).await;
        supervisor.outcome()
    }
}
