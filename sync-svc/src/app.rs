//! The application as a value: built from its configuration, run until stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::broker::BrokerCheck;
use latchkey_messaging::consumer::{Consumer, Handler};
use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_messaging::topology::Subscription;
use latchkey_service::database::DatabaseCheck;
use latchkey_service::health::{self, Readiness};
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError, shutdown};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SERVICE};
use crate::{consumer, grpc, sweep};

/// CloudEvents source of everything that sync-svc publishes.
const SOURCE: &str = "/latchkey/sync-svc";

/// What `/readyz` writes: serving needs no less.
const WRITE: &str = "UPDATE sync.readiness SET written_at = clock_timestamp()";

/// sync-svc, ready to run: its addresses are taken.
#[derive(Debug)]
pub struct Application {
    config: Config,
    clock: Arc<dyn Clock>,
    grpc: TcpListener,
    health: TcpListener,
}

impl Application {
    /// Takes the addresses. Neither database nor broker need be there yet.
    ///
    /// # Errors
    /// An address is taken.
    pub fn build(config: Config) -> Result<Self, StartError> {
        Ok(Self {
            grpc: listen("GRPC_LISTEN", config.grpc_listen)?,
            health: listen("HEALTH_LISTEN", config.health_listen)?,
            clock: Arc::new(SystemClock),
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
        } = self;
        let pool = config.pool.clone();
        let asked = stop;
        // One that ends for whatever reason ends them all.
        let stop = shutdown::after(&asked, config.shutdown_delay);
        let mut tasks: JoinSet<Result<(), StartError>> = JoinSet::new();
        // Ends when they have: what they wrote is published, and health is told.
        let end = CancellationToken::new();
        let mut behind: JoinSet<Result<(), StartError>> = JoinSet::new();

        let handler: Arc<dyn Handler> = Arc::new(consumer::Events::new(
            pool.clone(),
            config.connect_mode,
            clock.clone(),
        ));
        for subscription in Subscription::built_in() {
            let consumer = Consumer::new(config.broker.clone(), subscription, handler.clone())
                .with_ladder(config.ladder.clone())
                .with_clock(clock.clone())
                .run(stop.clone());
            tasks.spawn(async {
                consumer.await;
                Ok(())
            });
        }
        let relay =
            Relay::new(pool.clone(), Schema::Sync, config.broker.clone(), SOURCE).run(end.clone());
        behind.spawn(async {
            relay.await;
            Ok(())
        });
        let sweep = sweep::run(pool.clone(), clock.clone(), stop.clone());
        tasks.spawn(async {
            sweep.await;
            Ok(())
        });
        let readiness = Readiness::default()
            .until(asked.clone())
            .with(DatabaseCheck::new(pool.clone(), WRITE))
            .with(BrokerCheck::new(config.broker.clone()));
        let health = health::serve(health, readiness, BuildInfo::of(SERVICE), end.clone());
        behind.spawn(async {
            health
                .await
                .map_err(|error| StartError::io("health", error))
        });
        let service = grpc::AccountServer::new(pool, clock);
        let (tls, callers) = (config.grpc_tls, config.grpc_callers);
        let ending = grpc::Ending {
            asked,
            stop: stop.clone(),
        };
        tasks.spawn(grpc::serve(grpc, tls, callers, service, ending));

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
        config.pool.close().await;
        outcome
    }
}
