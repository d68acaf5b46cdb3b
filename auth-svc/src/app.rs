//! The application as a value: built from its environment, run until stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use latchkey_config::Environment;
use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::broker::{BrokerCheck, BrokerConfig};
use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_providers::Registry;
use latchkey_service::background::Supervisor;
use latchkey_service::database::{self, DatabaseCheck};
use latchkey_service::health::{self, Readiness};
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing_actix_web::TracingLogger;

use crate::config::Config;
use crate::http::bounds::{MAX_BODY, bounds};
use crate::http::headers::security_headers;
use crate::http::limits::{Limits, limit};
use crate::http::numbers::count;
use crate::http::redirect_note::redirect_note;
use crate::http::root_span::RequestSpan;
use crate::http::routes;
use crate::neighbours::Neighbours;
use crate::pages;
use crate::pages::bare::bare_errors;
use crate::proof::dns::{NameServers, TxtRecords};
use crate::random::Randomness;
use crate::session::cors::cors;
use crate::store::janitor;
use crate::store::workspace::custom_host;

/// Name of the service, in logs, traces and the lists of database and broker.
pub const SERVICE: &str = "auth-svc";

/// CloudEvents source of what this service publishes.
const EVENT_SOURCE: &str = "/latchkey/auth-svc";

/// What `/readyz` writes: serving needs no less.
const WRITE: &str = "UPDATE auth.readiness SET written_at = clock_timestamp()";

/// Requests in flight get this long to finish at a shut-down.
const SHUTDOWN_SECONDS: u64 = 10;

/// A client has this long for its request line and headers.
const SLOW_CLIENT: Duration = Duration::from_secs(10);

/// A client has this long to close its connection.
const SLOW_GOODBYE: Duration = Duration::from_secs(5);

/// Connections of each worker.
const MAX_CONNECTIONS: usize = 10_000;
/// The start waits so long for the discovery documents of the providers.
const PROVIDERS_ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What every handler shares.
#[derive(Debug)]
pub struct State {
    /// What this service was told.
    pub config: Config,
    /// The providers that are switched on.
    pub providers: Registry,
    /// What the account pages ask of the other services.
    pub neighbours: Neighbours,
    /// Connections as the role of schema `auth`.
    pub pool: PgPool,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often one address and one flow may ask.
    pub limits: Limits,
    /// The source of secrets.
    pub randomness: Randomness,
    /// Who is asked for the records that prove a domain.
    pub txt: Arc<dyn TxtRecords>,
}

/// The application, listening and not yet served.
pub struct Application {
    server: Server,
    address: SocketAddr,
    health: TcpListener,
    readiness: Readiness,
    state: Arc<State>,
    relay: Relay,
    leaving: CancellationToken,
    stop: CancellationToken,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Reads everything that the service needs and speaks to nobody.
///
/// # Errors
/// A variable is wrong or missing.
pub fn read(environment: &Environment) -> Result<(State, BrokerConfig), StartError> {
    read_at(environment, Arc::new(SystemClock))
}

fn read_at(
    environment: &Environment,
    clock: Arc<dyn Clock>,
) -> Result<(State, BrokerConfig), StartError> {
    let config = Config::from_environment(environment)?;
    let providers = Registry::from_environment(environment, clock.clone())?;
    providers.require_callbacks()?;
    if config.multi_workspace {
        providers.require_email_domains()?;
    }
    let state = State {
        config,
        providers,
        neighbours: Neighbours::from_environment(environment)?,
        pool: database::pool(environment, SERVICE)?,
        clock,
        limits: Limits::from_environment(environment)?,
        randomness: Randomness::default(),
        txt: Arc::new(NameServers::from_environment(environment)?),
    };
    Ok((state, BrokerConfig::from_environment(environment, SERVICE)?))
}

impl Application {
    /// Reads the environment and listens. Database, broker and providers may
    /// still be away.
    ///
    /// # Errors
    /// A variable is wrong or missing, or the address is taken.
    pub fn build(environment: &Environment) -> Result<Self, StartError> {
        Self::build_at(environment, Arc::new(SystemClock))
    }

    /// The same by another clock: of flows and ID tokens; the database has its own.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_at(environment: &Environment, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let (state, broker) = read_at(environment, clock)?;
        let listener = listen("HTTP_LISTEN", state.config.listen)?;
        let health = listen("HEALTH_LISTEN", state.config.health_listen)?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::io("HTTP_LISTEN", error))?;
        let leaving = CancellationToken::new();
        let relay = Relay::new(
            state.pool.clone(),
            Schema::Auth,
            broker.clone(),
            EVENT_SOURCE,
        );
        let readiness = Readiness::default()
            .until(leaving.clone())
            .with(DatabaseCheck::new(state.pool.clone(), WRITE))
            // A broker that is away fails no sign-in: the outbox waits (R12).
            .reporting(BrokerCheck::new(broker))
            .reporting(relay.refused_declarations());
        let state = Arc::new(state);
        let server =
            serve(listener, &state).map_err(|error| StartError::io("cannot serve HTTP", error))?;
        Ok(Self {
            server,
            address,
            health,
            readiness,
            state,
            relay,
            leaving,
            stop: CancellationToken::new(),
        })
    }

    /// Stops a start with a provider that requires what is not supported.
    ///
    /// # Errors
    /// Names the provider, and what it requires.
    pub async fn check_providers(&self) -> Result<(), StartError> {
        self.state
            .providers
            .refuse_unsupported(PROVIDERS_ANSWER_WITHIN)
            .await?;
        Ok(())
    }

    /// The port that was taken.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where health and `/metrics` are served.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn health_address(&self) -> std::io::Result<SocketAddr> {
        self.health.local_addr()
    }

    /// What the handlers share.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Serves until `stop` is cancelled and `SHUTDOWN_DELAY` longer, not ready any
    /// more; then lets requests and messages in flight finish.
    ///
    /// # Errors
    /// The server fails.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), StartError> {
        // Cancelled too if a background task fails.
        let asked = stop.child_token();
        let supervisor = Supervisor::new(asked.clone());
        let tasks = supervisor.tasks_until(self.stop.clone());
        tasks.spawn("outbox relay", self.relay.run(self.stop.clone()));
        tasks.spawn(
            "janitor",
            janitor::run(self.state.pool.clone(), self.stop.clone()),
        );
        let build = BuildInfo::of(SERVICE);
        let health = health::serve(self.health, self.readiness, build, self.stop.clone());
        tasks.spawn_fallible("health endpoints", async {
            health
                .await
                .map_err(|error| StartError::io("health endpoints", error))
        });
        let (state, swept) = (self.state.clone(), self.stop.clone());
        tasks.spawn(
            "rate limits",
            async move { state.limits.sweep(swept).await },
        );
        let (state, stopped) = (self.state.clone(), self.stop.clone());
        tasks.spawn("gRPC client certificates", async move {
            state.neighbours.watch_files(stopped).await;
        });
        if self.state.config.multi_workspace {
            let hosts = custom_host::keep_fresh(
                self.state.pool.clone(),
                self.state.config.returns.custom_hosts().clone(),
                self.stop.clone(),
            );
            tasks.spawn("custom hosts", hosts);
        }
        let handle = self.server.handle();
        let (leaving, delay) = (self.leaving, self.state.config.shutdown_delay);
        let stopping = asked.clone();
        tokio::spawn(async move {
            stopping.cancelled().await;
            leaving.cancel();
            tokio::time::sleep(delay).await;
            handle.stop(true).await;
        });
        tracing::info!(address = %self.address, public = %self.state.config.public_origin, "listening");
        let outcome = self.server.await;
        let ended_early = !asked.is_cancelled();
        // After the last request, so that its event is still published.
        self.stop.cancel();
        tasks.ended().await;
        self.state.pool.close().await;
        outcome.map_err(|error| StartError::io("the HTTP server failed", error))?;
        supervisor.outcome()?;
        if ended_early {
            return Err(StartError::Other(
                "the HTTP server ended before the service stopped".to_owned(),
            ));
        }
        Ok(())
    }
}

fn serve(listener: TcpListener, state: &Arc<State>) -> std::io::Result<Server> {
    let state = web::Data::from(state.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .configure(routes::register)
            .default_service(web::to(pages::not_found))
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .app_data(web::JsonConfig::default().limit(MAX_BODY))
            .app_data(web::FormConfig::default().limit(MAX_BODY))
            .wrap(from_fn(redirect_note))
            .wrap(from_fn(bare_errors))
            .wrap(from_fn(cors))
            .wrap(from_fn(bounds))
            .wrap(from_fn(limit))
            .wrap(security_headers(&state.config))
            .wrap(from_fn(count))
            .wrap(TracingLogger::<RequestSpan>::new())
    })
    .disable_signals()
    .shutdown_timeout(SHUTDOWN_SECONDS)
    // Who sends its request line and headers slowly, or says goodbye slowly, is dropped.
    .client_request_timeout(SLOW_CLIENT)
    .client_disconnect_timeout(SLOW_GOODBYE)
    .max_connections(MAX_CONNECTIONS)
    .listen(listener)?
    .run();
    Ok(server)
}
