//! What the checks look at. The database and the broker are connected once, by the check that
//! comes first.

use std::sync::Arc;
use std::time::Duration;

use lapin::Connection;
use latchkey_config::{ConfigErrors, Environment};
use latchkey_domain::{Clock, Handle, SystemClock};
use latchkey_messaging::broker::{BrokerConfig, BrokerError};
use latchkey_providers::Registry;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;
use url::Url;

use crate::check_id::CheckId;
use crate::database::{self, Unusable};
use crate::outcome::NotLooked;
use crate::service::{OperatorPort, Service};

/// For a request to a service, a provider or the management API.
const HTTP_TIMEOUT: Duration = Duration::from_secs(4);
/// For connecting to the broker.
const BROKER_TIMEOUT: Duration = Duration::from_secs(4);

/// The keys of auth-svc.
const AUTH_SVC_KEYS: [&str; 3] = [
    "FLOW_COOKIE_KEYS",
    "SESSION_SIGNING_KEYS",
    "SEALING_PUBLIC_KEY",
];

/// When doctor is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At any time.
    Now,
    /// With the configuration of a version that is to be deployed, against the running world.
    BeforeDeploy,
    /// Of the version that was deployed.
    AfterDeploy,
}

/// The variables of a service, or of this shell.
pub(crate) struct Source {
    /// `auth-svc`, or `this environment`.
    pub name: String,
    /// The service whose configuration it is; `None` if that is not known.
    pub service: Option<Service>,
    pub environment: Environment,
    /// The providers that are switched on, or the faults of their variables.
    pub providers: Result<Registry, ConfigErrors>,
}

impl Source {
    /// Reads the providers of an environment.
    pub(crate) fn new(name: String, service: Option<Service>, environment: Environment) -> Self {
        Self {
            providers: Registry::from_environment(&environment, Arc::new(SystemClock)),
            name,
            service,
            environment,
        }
    }

    /// Returns `true` if it is the configuration of auth-svc: it is named so, or it is a shell that
    /// has the public URL and a key of auth-svc. The URL alone is also set for the links that
    /// commands print.
    pub(crate) fn is_auth_svc(&self) -> bool {
        let is_set = |name: &&str| !matches!(self.environment.optional(name), Ok(None));
        match self.service {
            Some(service) => service == Service::Auth,
            None => is_set(&"PUBLIC_URL") && AUTH_SVC_KEYS.iter().any(is_set),
        }
    }
}

/// What the checks look at.
pub(crate) struct World {
    pub mode: Mode,
    pub clock: Arc<dyn Clock>,
    pub sources: Vec<Source>,
    pub http: reqwest::Client,
    pub operator_ports: Vec<OperatorPort>,
    /// Where auth-svc is reached as browsers reach it.
    pub entry_point: Option<Url>,
    /// Management API of the broker.
    pub management: Option<Url>,
    /// Commit that was deployed.
    pub deployed: Option<String>,
    pub person: Option<Handle>,
    pub workspace: Option<String>,
    pub database: OnceCell<Result<PgPool, Unusable>>,
    pub broker: OnceCell<Result<Connection, BrokerError>>,
}

impl World {
    /// A client with a time limit that follows no redirect.
    pub(crate) fn http() -> Result<reqwest::Client, String> {
        reqwest::Client::builder()
            .timeout(HTTP_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("latchkey-doctor/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())
    }

    /// The sources of a service; those of which it is not known count too.
    pub(crate) fn sources_of(&self, service: Service) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(move |source| source.service.is_none_or(|known| known == service))
    }

    /// The sources that may have providers: sync-svc has none.
    pub(crate) fn provider_sources(&self) -> impl Iterator<Item = (&Source, &Registry)> {
        self.sources
            .iter()
            .filter(|source| source.service != Some(Service::Sync))
            .filter_map(|source| Some((source, source.providers.as_ref().ok()?)))
    }

    /// The providers as auth-svc has them, which sends browsers there.
    pub(crate) fn sign_in_providers(&self) -> Option<(&Source, &Registry)> {
        let is_auth = |source: &&Source| source.service == Some(Service::Auth);
        let of_auth = self.sources.iter().find(is_auth);
        let source = of_auth.or_else(|| self.sources_of(Service::Auth).next())?;
        Some((source, source.providers.as_ref().ok()?))
    }

    /// The options of each `DATABASE_URL`, each once.
    pub(crate) fn databases(&self) -> Vec<(&Source, PgConnectOptions)> {
        let mut seen = Vec::new();
        let mut found = Vec::new();
        for source in &self.sources {
            let url = source.environment.optional("DATABASE_URL");
            let options = latchkey_service::database::options(&source.environment);
            if let (Ok(Some(url)), Ok(options)) = (url, options)
                && !seen.contains(&url)
            {
                seen.push(url);
                found.push((source, options.application_name("latchkey-doctor")));
            }
        }
        found
    }

    /// Each broker of `AMQP_URL`, once.
    pub(crate) fn brokers(&self) -> Vec<(&Source, BrokerConfig)> {
        let mut seen = Vec::new();
        let mut found = Vec::new();
        for source in &self.sources {
            let url = source.environment.optional("AMQP_URL");
            let config = BrokerConfig::from_environment(&source.environment, "latchkey-doctor");
            if let (Ok(Some(url)), Ok(config)) = (url, config)
                && !seen.contains(&url)
            {
                seen.push(url);
                found.push((source, config));
            }
        }
        found
    }

    /// The database that the checks read: that of the first source.
    pub(crate) async fn connect_database(
        &self,
        options: &PgConnectOptions,
    ) -> &Result<PgPool, Unusable> {
        self.database
            .get_or_init(|| database::connect(options))
            .await
    }

    /// The same for a check that needs the database.
    ///
    /// # Errors
    /// There is no database, or another check reports why it cannot be used.
    pub(crate) async fn pool(&self) -> Result<&PgPool, NotLooked> {
        let databases = self.databases();
        let Some((_, options)) = databases.first() else {
            return Err(self.without_variable("DATABASE_URL", CheckId::Environment));
        };
        let connected = self.connect_database(options).await;
        connected
            .as_ref()
            .map_err(|_| NotLooked::Because(CheckId::Database))
    }

    /// The broker that the checks look at: that of the first source.
    pub(crate) async fn connect_broker(
        &self,
        config: &BrokerConfig,
    ) -> &Result<Connection, BrokerError> {
        self.broker.get_or_init(|| connect(config)).await
    }

    /// The same for a check that needs the broker.
    ///
    /// # Errors
    /// There is no broker, or another check reports why it cannot be used.
    pub(crate) async fn connection(&self) -> Result<&Connection, NotLooked> {
        let brokers = self.brokers();
        let Some((_, config)) = brokers.first() else {
            return Err(self.without_variable("AMQP_URL", CheckId::Environment));
        };
        let connected = self.connect_broker(config).await;
        connected
            .as_ref()
            .map_err(|_| NotLooked::Because(CheckId::Broker))
    }

    /// Why a variable has no usable value: the check of the environment has reported a wrong one.
    pub(crate) fn without_variable(&self, name: &'static str, reported_by: CheckId) -> NotLooked {
        let is_set = |source: &Source| !matches!(source.environment.optional(name), Ok(None));
        if self.sources.iter().any(is_set) {
            NotLooked::Because(reported_by)
        } else {
            NotLooked::NotSet(name)
        }
    }
}

/// Connects to a broker, within a shorter time than a service has.
pub(crate) async fn connect(config: &BrokerConfig) -> Result<Connection, BrokerError> {
    tokio::time::timeout(BROKER_TIMEOUT, config.connect())
        .await
        .unwrap_or(Err(BrokerError::Timeout("connect")))
}
