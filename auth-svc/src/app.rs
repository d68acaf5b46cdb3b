//! The application: built from the environment, and run until it is stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use latchkey_config::{ConfigErrors, Environment, read_all};
use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::broker::{BrokerCheck, BrokerConfig};
use latchkey_messaging::outbox::{OutboxWaker, Relay, Schema};
use latchkey_providers::Registry;
use latchkey_service::background::Supervisor;
use latchkey_service::database::{self, DatabaseCheck, measure_pool};
use latchkey_service::health::{self, Readiness};
use latchkey_service::metrics::sample;
use latchkey_service::run::listen;
use latchkey_service::{BuildInfo, StartError, shutdown};
use tokio_util::sync::CancellationToken;
use tracing_actix_web::TracingLogger;

use crate::account::grpc_clients::GrpcClients;
use crate::config::{Config, MULTI_WORKSPACE};
use crate::http::cors::cors;
use crate::http::default_errors::{describe_empty_errors, not_found};
use crate::http::extractor_errors::{json_config, path_config};
use crate::http::headers::security_headers;
use crate::http::keep_alive::end_keep_alive;
use crate::http::metrics::{self, count_request};
use crate::http::rate_limit::RateLimits;
use crate::http::redirect_body::redirect_body;
use crate::http::request_limits::{MAX_BODY, enforce_limits};
use crate::http::root_span::RequestSpan;
use crate::http::too_many_requests::rate_limit;
use crate::login::flow::FLOW_LIFETIME;
use crate::login::open_flows::OpenFlows;
use crate::login::redirect::custom_hosts;
use crate::random::Randomness;
use crate::routes;
use crate::state::State;
use crate::store::cleanup;
use crate::workspace::domain_verification::dns::NameServers;

/// Name of the service in logs and traces, and in the connection lists of the database and
/// the broker.
pub const SERVICE: &str = "auth-svc";

/// CloudEvents `source` of the events of this service.
const EVENT_SOURCE: &str = "/latchkey/auth-svc";

/// The statement with which `/readyz` checks that the database accepts writes.
const WRITE: &str = "UPDATE auth.readiness SET written_at = clock_timestamp()";

/// Time that requests in flight have to finish at shutdown, in seconds.
const SHUTDOWN_SECONDS: u64 = 10;

/// Time that a client has to send its request line and headers.
const SLOW_CLIENT: Duration = Duration::from_secs(10);

/// How long a connection without a request stays open. Longer than proxies keep one (nginx and AWS
/// load balancers: 60 s), so that the proxy closes it. If the server did, a request could be on its
/// way at that moment and would fail. Envoy keeps connections for an hour unless it is configured.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Time that a client has to close its connection.
const SLOW_GOODBYE: Duration = Duration::from_secs(5);

/// Maximum number of connections of each worker.
const MAX_CONNECTIONS: usize = 10_000;
/// Maximum time that the start waits for the discovery documents of the providers.
const PROVIDERS_ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The application. It listens but does not serve yet.
pub struct Application {
    server: Server,
    address: SocketAddr,
    health: TcpListener,
    readiness: Readiness,
    state: Arc<State>,
    relay: Relay,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Reads the configuration without any network access.
///
/// # Errors
/// Returns the variables that are wrong or missing.
pub fn read(environment: &Environment) -> Result<(State, BrokerConfig), ConfigErrors> {
    read_at(environment, Arc::new(SystemClock))
}

fn read_at(
    environment: &Environment,
    clock: Arc<dyn Clock>,
) -> Result<(State, BrokerConfig), ConfigErrors> {
    read_all! {
        let config = Config::from_environment(environment);
        let providers = providers(environment, clock.clone());
        let grpc_clients = GrpcClients::from_environment(environment);
        let pool = database::pool(environment, SERVICE);
        let rate_limits = RateLimits::from_environment(environment, FLOW_LIFETIME);
        let txt = NameServers::from_environment(environment);
        let broker = BrokerConfig::from_environment(environment, SERVICE);
    }
    let state = State {
        config,
        providers,
        grpc_clients,
        pool,
        outbox: OutboxWaker::default(),
        clock,
        rate_limits,
        randomness: Randomness::default(),
        open_flows: OpenFlows::default(),
        txt: Arc::new(txt),
        stopping: CancellationToken::new(),
    };
    Ok((state, broker))
}

fn providers(environment: &Environment, clock: Arc<dyn Clock>) -> Result<Registry, ConfigErrors> {
    let providers = Registry::from_environment(environment, clock)?;
    if environment.flag(MULTI_WORKSPACE, false)? {
        providers.require_email_domains()?;
    }
    Ok(providers)
}

impl Application {
    /// Reads the environment and listens, with a clock for flows and ID tokens. The database
    /// uses its own clock.
    ///
    /// # Errors
    /// Returns an error if variables are wrong or missing, or the address is in use.
    pub fn build_at(environment: &Environment, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let (state, broker) = read_at(environment, clock)?;
        Self::new(state, broker)
    }

    /// Listens. The database, the broker and the providers need not be reachable yet.
    ///
    /// # Errors
    /// Returns an error if the address is in use.
    pub fn new(state: State, broker: BrokerConfig) -> Result<Self, StartError> {
        let listener = listen("HTTP_LISTEN", state.config.listen)?;
        let health = listen("HEALTH_LISTEN", state.config.health_listen)?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::io("HTTP_LISTEN", error))?;
        let relay = Relay::new(
            state.pool.clone(),
            Schema::Auth,
            broker.clone(),
            EVENT_SOURCE,
        )
        .woken_by(state.outbox.clone());
        let readiness = Readiness::default()
            .with(DatabaseCheck::new(state.pool.clone(), WRITE))
            // A sign-in succeeds without the broker, because the outbox keeps the event
            // (R12).
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
        })
    }

    /// Checks that no provider requires a feature that is not supported, and warns of one that cannot
    /// end sessions although that is configured.
    ///
    /// # Errors
    /// Returns an error that names the provider and the feature.
    pub async fn check_providers(&self) -> Result<(), StartError> {
        self.state
            .providers
            .refuse_unsupported_sign_ins(PROVIDERS_ANSWER_WITHIN)
            .await?;
        self.state.providers.warn_without_end_session();
        Ok(())
    }

    /// Returns the port that the service listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the address of health checks and `/metrics`.
    ///
    /// # Errors
    /// Returns the operating system's error.
    pub fn health_address(&self) -> std::io::Result<SocketAddr> {
        self.health.local_addr()
    }

    /// Returns what the handlers share.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Serves until `stop` is cancelled. After that, it reports that it is not ready, goes
    /// on serving for `SHUTDOWN_DELAY`, and lets the requests and messages in flight
    /// finish.
    ///
    /// # Errors
    /// Returns an error if the server fails.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), StartError> {
        // Cancelled too if a background task fails.
        let asked = stop.child_token();
        // Ends the background tasks, after the last request.
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(asked.clone());
        let tasks = supervisor.tasks_until(stop.clone());
        tasks.spawn("outbox relay", self.relay.run(stop.clone()));
        tasks.spawn(
            "cleanup",
            cleanup::run(self.state.pool.clone(), stop.clone()),
        );
        let build = BuildInfo::of(SERVICE);
        let readiness = self.readiness.until(asked.clone());
        tasks.spawn_fallible(
            "health endpoints",
            health::serve(self.health, readiness, build, stop.clone()),
        );
        let (state, swept) = (self.state.clone(), stop.clone());
        tasks.spawn("rate limits", async move {
            state.rate_limits.sweep(swept).await;
        });
        let (state, stopped) = (self.state.clone(), stop.clone());
        tasks.spawn("gRPC client certificates", async move {
            state.grpc_clients.watch_files(stopped).await;
        });
        let providers = self.state.providers.clone();
        tasks.spawn(
            "keys of clients at providers",
            providers.watch_client_keys(stop.clone()),
        );
        if self.state.config.multi_workspace {
            let hosts = custom_hosts::keep_fresh(
                self.state.pool.clone(),
                self.state.config.returns.custom_hosts().clone(),
                stop.clone(),
            );
            tasks.spawn("custom hosts", hosts);
        }
        metrics::create(&self.state, &routes::statuses());
        tasks.spawn(
            "pool metrics",
            measure_pool(self.state.pool.clone(), stop.clone()),
        );
        let state = self.state.clone();
        tasks.spawn(
            "flow metrics",
            sample(stop.clone(), move || metrics::measure_flows(&state)),
        );
        let handle = self.server.handle();
        let serve_until = shutdown::delayed(&asked, self.state.config.shutdown_delay);
        let (state, stop_asked) = (self.state.clone(), asked.clone());
        tokio::spawn(async move {
            stop_asked.cancelled().await;
            state.stopping.cancel();
            serve_until.cancelled().await;
            handle.stop(true).await;
        });
        tracing::info!(address = %self.address, public = %self.state.config.public_origin, "listening");
        let outcome = self.server.await;
        let ended_early = !asked.is_cancelled();
        // After the last request, so that its event is still published.
        stop.cancel();
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
            .default_service(web::to(not_found))
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .app_data(json_config())
            .app_data(path_config())
            .app_data(web::FormConfig::default().limit(MAX_BODY))
            .wrap(from_fn(redirect_body))
            .wrap(from_fn(describe_empty_errors))
            .wrap(from_fn(cors))
            .wrap(from_fn(enforce_limits))
            .wrap(from_fn(rate_limit))
            .wrap(security_headers(&state.config))
            .wrap(from_fn(count_request))
            .wrap(from_fn(end_keep_alive))
            .wrap(TracingLogger::<RequestSpan>::new())
    })
    .disable_signals()
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .keep_alive(KEEP_ALIVE)
    // Slow clients are disconnected, so that they do not occupy connections.
    .client_request_timeout(SLOW_CLIENT)
    .client_disconnect_timeout(SLOW_GOODBYE)
    .max_connections(MAX_CONNECTIONS)
    .listen(listener)?
    .run();
    Ok(server)
}
