//! The application as a value: built from its configuration, run until stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::broker::BrokerCheck;
use latchkey_messaging::consumer::{Consumer, Handler};
use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_messaging::topology::{Keeper, Subscription};
use latchkey_policy::Authorizer;
use latchkey_policy::audit::{self, Table, Writer};
use latchkey_service::database::DatabaseCheck;
use latchkey_service::health::{self, Readiness};
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError, shutdown};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SERVICE};
use crate::{consumer, grpc, store, sweep};

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

    /// Runs consumers, relay, sweep, gRPC and health until `stop`, then stops them in
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
        let asked = stop;
        // If one task ends, for whatever reason, all of them are stopped.
        let stop = shutdown::after(&asked, config.shutdown_delay);
        let mut tasks: JoinSet<Result<(), StartError>> = JoinSet::new();
        // Cancelled after the tasks above have ended: what they wrote is still
        // published, and health is still answered.
        let end = CancellationToken::new();
        let mut behind: JoinSet<Result<(), StartError>> = JoinSet::new();

        let handler: Arc<dyn Handler> = Arc::new(consumer::EventHandler::new(
            pool.clone(),
            config.connect_mode,
            clock.clone(),
        ));
        let keeper = Keeper::new(
            config.broker.clone(),
            Subscription::built_in(),
            config.queues_checked_every,
        );
        let declared = keeper.declared();
        let mut readiness = Readiness::default()
            .until(asked.clone())
            .with(DatabaseCheck::new(pool.clone(), store::WRITE))
            .with(BrokerCheck::new(config.broker.clone()))
            .reporting(keeper.complaints());
        let keeper = keeper.run(stop.clone());
        tasks.spawn(async {
            keeper.await;
            Ok(())
        });
        for subscription in Subscription::built_in() {
            let consumer = Consumer::new(config.broker.clone(), subscription, handler.clone())
                .with_ladder(config.ladder.clone())
                .with_clock(clock.clone());
            readiness = readiness.reporting(consumer.complaints());
            let consumer = consumer.run(stop.clone());
            tasks.spawn(async {
                consumer.await;
                Ok(())
            });
        }
        let relay = Relay::new(pool.clone(), Schema::Sync, config.broker.clone(), SOURCE);
        readiness = readiness.reporting(relay.complaints());
        let ended = end.clone();
        behind.spawn(async move {
            // The queues are declared before the first event is published.
            tokio::select! {
                () = declared.cancelled() => relay.run(ended).await,
                () = ended.cancelled() => {}
            }
            Ok(())
        });
        let sweep = sweep::run(pool.clone(), clock.clone(), stop.clone());
        tasks.spawn(async {
            sweep.await;
            Ok(())
        });
        let health = health::serve(health, readiness, BuildInfo::of(SERVICE), end.clone());
        behind.spawn(async {
            health
                .await
                .map_err(|error| StartError::io("health", error))
        });
        // The audit writer stops after the calls that it records.
        let answered = CancellationToken::new();
        let audit = tokio::spawn(audit.run(answered.clone()));
        let service = grpc::AccountServer::new(pool, clock);
        let tls = config.grpc_tls;
        let shutdown = grpc::Shutdown {
            requested: asked,
            stop: stop.clone(),
        };
        tasks.spawn(grpc::serve(grpc, tls, authorizer, service, shutdown));

        let mut outcome = Ok(());
        loop {
            let ended = tokio::select! {
                Some(ended) = tasks.join_next() => ended,
                Some(ended) = behind.join_next() => ended,
                else => break,
            };
            let ended = ended.unwrap_or_else(|error| Err(StartError::other(error)));
            if outcome.is_ok() {
                outcome = ended;
            }
            stop.cancel();
            if tasks.is_empty() {
                end.cancel();
            }
        }
        answered.cancel();
        if tokio::time::timeout(AUDIT_TIMEOUT, audit).await.is_err() {
            tracing::error!("audit records were lost at shut-down: writing them took too long");
        }
        config.pool.close().await;
        outcome
    }
}
