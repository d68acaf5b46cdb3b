//! How a stack is started.

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey_servers::{Progress, silent};

/// How a stack is started.
#[derive(Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each switch is independent of the others"
)]
pub struct Options {
    /// Name of the directory below `target/` for this kind of run.
    pub group: &'static str,
    /// Uses the ports 8080, 50051 and 50052 if they are free.
    pub preferred_ports: bool,
    /// Port of auth-svc, for providers that must know it before the start.
    pub public_port: Option<u16>,
    /// Passes the provider variables of this process on to the services.
    pub inherit: bool,
    /// Variables for the services, which override all others. An empty value removes a
    /// variable.
    pub environment: BTreeMap<String, String>,
    /// Number of replicas of auth-svc. Browsers use the first.
    pub auth_replicas: usize,
    /// Number of replicas of refresh-svc.
    pub refresh_replicas: usize,
    /// Number of nodes of RabbitMQ. The services connect to the first.
    pub rabbitmq_nodes: usize,
    /// Starts a [`Proxy`](latchkey_servers::Proxy) between the services and the database.
    pub proxy: bool,
    /// PostgreSQL flushes each commit to disk, as in production, for measurements.
    pub durable: bool,
    /// Lifetime of the demo provider's access tokens.
    pub access_token_lifetime: Duration,
    /// Prints what is being done.
    pub progress: Progress,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The variables may hold secrets.
        f.debug_struct("Options")
            .field("group", &self.group)
            .field("refresh_replicas", &self.refresh_replicas)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Returns the options for a person at a terminal.
    pub fn development(progress: Progress) -> Self {
        Self {
            group: "dev",
            preferred_ports: true,
            public_port: None,
            inherit: true,
            environment: BTreeMap::new(),
            auth_replicas: 1,
            refresh_replicas: 1,
            rabbitmq_nodes: 1,
            proxy: false,
            durable: false,
            access_token_lifetime: Duration::from_hours(1),
            progress,
        }
    }

    /// Returns the options for a test, which ignores the variables of this process and prints
    /// nothing.
    pub fn test() -> Self {
        Self {
            group: "e2e",
            preferred_ports: false,
            inherit: false,
            ..Self::development(silent())
        }
    }

    /// Sets a variable of the services.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Connects the services to the database through a proxy.
    #[must_use]
    pub fn with_proxy(mut self) -> Self {
        self.proxy = true;
        self
    }

    /// Sets the number of replicas of refresh-svc.
    #[must_use]
    pub fn refresh_replicas(mut self, count: usize) -> Self {
        self.refresh_replicas = count;
        self
    }
}
