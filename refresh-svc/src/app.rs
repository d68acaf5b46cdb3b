//! The application: built from a configuration, then run until stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use latchkey_messaging::broker::{BrokerCheck, BrokerConfig};
use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_opening::OpeningKeys;
use latchkey_policy::Authorizer;
use latchkey_policy::audit::{self, Table};
use latchkey_service::grpc::Tls;
use latchkey_service::health::{self, Readiness};
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError, shutdown};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::change_notifications::{self, ChangeNotifier};
use crate::config::Configuration;
use crate::disconnect_requests;
use crate::engine::{Engine, Parts};
use crate::grpc::{self, CallerLimits};
use crate::jitter::Jitter;
use crate::reseal;
use crate::store::{Connections, DatabaseServes, Store};
use crate::upstream::Upstreams;

/// Time for running calls to end after shut-down has begun.
const GRACE: Duration = Duration::from_secs(10);

/// The service with bound listeners, before it serves.
pub struct Application {
    grpc_address: SocketAddr,
    health_address: SocketAddr,
    grpc_listener: TcpListener,
    health_listener: TcpListener,
    router: grpc::AuthorizedRouter,
    authorizer: Authorizer,
    tls: Tls,
    audit: audit::Writer,
    grpc_health: grpc::Health,
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
    /// An address is in use, or a certificate is invalid.
    pub fn build(configuration: Configuration) -> Result<Self, StartError> {
        let cache = Arc::new(Cache::new(
            configuration.cache_capacity,
            configuration.cache_revalidate,
        ));
        let notifier = ChangeNotifier::default();
        let connections = Connections::new(&configuration.pool);
        let (audit, audit_writer) = audit::audit(
            connections.pool().clone(),
            Table::Vault,
            Arc::clone(&configuration.clock),
        );
        let authorizer = Authorizer::new(
            configuration.policy,
            configuration.callers,
            audit,
            Arc::clone(&configuration.clock),
        )?;
        let limits = CallerLimits {
            waiting: configuration.most_waiting,
            watching: configuration.most_watchers / 2,
        };
        let seed = configuration.clock.now().unix_timestamp().unsigned_abs();
        let engine = Engine::new(Parts {
            store: Store::on(connections.clone()),
            keys: configuration.keys.clone(),
            providers: configuration.providers,
            upstreams: Upstreams::new(configuration.limits),
            cache: Arc::clone(&cache),
            notifier: notifier.clone(),
            clock: configuration.clock,
            jitter: Jitter::of_system(seed),
            timing: configuration.timing,
            ahead_window: configuration.ahead_window,
            most_watchers: configuration.most_watchers,
        });
        let (router, grpc_health) = grpc::router(engine.clone(), authorizer.clone(), limits)?;
        let grpc_listener = listen("GRPC_LISTEN", configuration.grpc_listen)?;
        let health_listener = listen("HEALTH_LISTEN", configuration.health_listen)?;
        let address = |error| StartError::io("cannot determine the local address", error);
        Ok(Self {
            grpc_address: grpc_listener.local_addr().map_err(address)?,
            health_address: health_listener.local_addr().map_err(address)?,
            grpc_listener,
            health_listener,
            router,
            authorizer,
            tls: configuration.tls,
            audit: audit_writer,
            grpc_health,
            engine,
            cache,
            notifier,
            connections,
            broker: configuration.broker,
            keys: configuration.keys,
            reseal_every: configuration.reseal_every,
            shutdown_delay: configuration.shutdown_delay,
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
    /// Returned if a server ends unexpectedly.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), StartError> {
        let asked = stop;
        let stop = shutdown::after(&asked, self.shutdown_delay);
        // Background tasks stop after the calls and refreshes that need them.
        let background = CancellationToken::new();
        let _guard = background.clone().drop_guard();
        let relay = Relay::new(
            self.connections.pool().clone(),
            Schema::Vault,
            self.broker.clone(),
            "/latchkey/refresh-svc",
        );
        let topology = relay.complaints();
        let relay = tokio::spawn(relay.run(background.clone()));
        tokio::spawn(change_notifications::run(
            self.connections.clone(),
            self.cache,
            self.notifier,
            background.clone(),
        ));
        self.authorizer.follow(&background);
        tokio::spawn(self.tls.clone().follow_files(background.clone()));
        let audit = tokio::spawn(self.audit.run(background.clone()));
        tokio::spawn(self.engine.clone().refresh_ahead());
        tokio::spawn(self.engine.clone().renew_grants());
        tokio::spawn(self.engine.clone().drop_idle());
        tokio::spawn(disconnect_requests::run(
            Store::on(self.connections.clone()),
            self.engine.clone(),
            stop.clone(),
        ));
        tokio::spawn(reseal::run(
            Store::on(self.connections.clone()),
            self.keys,
            Jitter::of_system(self.jitter_seed),
            self.reseal_every,
            background.clone(),
        ));
        let readiness = Readiness::default()
            .until(asked.clone())
            .with(DatabaseServes(self.connections))
            // Events wait in the outbox while the broker is down, so this check does not
            // affect readiness.
            .reporting(BrokerCheck::new(self.broker))
            .reporting(topology);
        let health = tokio::spawn(health::serve(
            self.health_listener,
            readiness,
            BuildInfo::of("refresh-svc"),
            background.clone(),
        ));
        tracing::info!(grpc = %self.grpc_address, health = %self.health_address, "serving");

        let listener = tokio::net::TcpListener::from_std(self.grpc_listener)
            .map_err(|error| StartError::io("GRPC_LISTEN", error))?;
        let authorizer = self.authorizer;
        let incoming =
            latchkey_service::grpc::incoming(listener, self.tls, stop.clone(), move |refused| {
                authorizer.record_failed_handshake(refused);
            });
        let served = self
            .router
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        self.grpc_health.set_serving().await;
        let overdue = async {
            asked.cancelled().await;
            self.grpc_health.set_not_serving().await;
            stop.cancelled().await;
            // Open watches would keep their connections open.
            self.engine.begin_shutdown();
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = served => served.map_err(StartError::other)?,
            () = overdue => tracing::warn!("calls were aborted: they did not end in time"),
        }
        if !self.engine.finish().await {
            tracing::warn!("refreshes were aborted: they outlasted their lease");
        }
        background.cancel();
        // Messages that are not confirmed stay in the outbox.
        if tokio::time::timeout(GRACE, relay).await.is_err() {
            tracing::warn!("the outbox relay was aborted: it did not end in time");
        }
        if tokio::time::timeout(GRACE, audit).await.is_err() {
            tracing::error!("the audit writer was aborted: it did not end in time");
        }
        match health.await {
            Ok(ended) => ended.map_err(|error| StartError::io("health endpoints", error)),
            Err(error) => Err(StartError::other(error)),
        }
    }
}
