//! How to start a stack.

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey_servers::{Progress, silent};

/// How to start a stack.
#[derive(Clone)]
pub struct Options {
    /// Directory below `target/` for this kind of run.
    pub group: &'static str,
    /// Takes 8080, 50051 and 50052 where they are free.
    pub preferred_ports: bool,
    /// Port of auth-svc, where a provider must know it beforehand.
    pub public_port: Option<u16>,
    /// Passes what this process was told of providers on to the services.
    pub inherit: bool,
    /// Variables for the services, over everything else. An empty value takes a
    /// variable away.
    pub environment: BTreeMap<String, String>,
    /// How many refresh-svc run.
    pub refresh_replicas: usize,
    /// Puts a [`Proxy`](latchkey_servers::Proxy) between the services and the
    /// database.
    pub proxy: bool,
    /// Life of the demo provider's access tokens.
    pub access_token_lifetime: Duration,
    /// Who is told what goes on.
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
    /// For a person at a terminal.
    pub fn development(progress: Progress) -> Self {
        Self {
            group: "dev",
            preferred_ports: true,
            public_port: None,
            inherit: true,
            environment: BTreeMap::new(),
            refresh_replicas: 1,
            proxy: false,
            access_token_lifetime: Duration::from_hours(1),
            progress,
        }
    }

    /// For a test: nothing from outside, nothing said.
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

    /// The services reach the database through a proxy.
    #[must_use]
    pub fn with_proxy(mut self) -> Self {
        self.proxy = true;
        self
    }

    /// Runs several refresh-svc.
    #[must_use]
    pub fn refresh_replicas(mut self, count: usize) -> Self {
        self.refresh_replicas = count;
        self
    }
}
