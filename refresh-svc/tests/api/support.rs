//! The environment of one test: database, provider, keys, certificates, replicas.

mod account;
mod callers;
pub mod cluster;
mod log;
mod policies;
mod process;
mod replica;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use latchkey_config::Environment;
use latchkey_demo_provider::{DemoProvider, Endpoint, Fault, Flavour};
use latchkey_domain::SystemClock;
use latchkey_opening::{OpeningKey, OpeningKeys};
use latchkey_proto::token::AccessToken;
use latchkey_testkit::{PATIENCE, Role, TestCertificates, TestDatabase};
use refresh_svc::Config;
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tonic::Status;

pub use account::{Account, SCOPES, Token};
pub use callers::{Client, Refusal, asking, by_id, endpoint, identity, next, reason, refusal, tls};
pub use latchkey_servers::Proxy;
pub use log::logged;
pub use policies::{Audited, MAIL, PolicyFile, everything, mail_of, rule};
pub use process::Process;
pub use replica::Replica;

pub struct World {
    pub database: TestDatabase,
    pub demo: DemoProvider,
    pub certificates: TestCertificates,
    pub key: OpeningKey,
    /// Additional variables of replicas that start from now on.
    pub variables: Vec<(String, String)>,
}

impl World {
    pub async fn new() -> Self {
        Self::on(TestDatabase::create().await).await
    }

    pub async fn on(database: TestDatabase) -> Self {
        log::start();
        Self {
            database,
            demo: DemoProvider::start(latchkey_demo_provider::Config::default())
                .await
                .unwrap(),
            certificates: TestCertificates::create(),
            key: OpeningKey::generate().unwrap(),
            variables: Vec::new(),
        }
    }

    /// Without a cache: changes in the database are visible at once, without waiting for
    /// the notification.
    pub async fn uncached() -> Self {
        Self::new().await.with("TOKEN_CACHE_REVALIDATE", "0s")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub fn keys(&self) -> OpeningKeys {
        self.key.clone().into()
    }

    pub fn environment(&self) -> Environment {
        self.all_variables().into_iter().collect()
    }

    pub fn all_variables(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let server = &self.certificates.server;
        let mut variables: Vec<(String, String)> = self.demo.environment().into_iter().collect();
        let own = [
            ("DATABASE_URL", self.database.url(Role::Refresh)),
            // Reveals code that holds a connection and waits for another one.
            ("DATABASE_MAX_CONNECTIONS", "1".to_owned()),
            // No broker: the outbox keeps its messages.
            ("AMQP_URL", "amqp://nobody:x@127.0.0.1:1/%2f".to_owned()),
            ("GRPC_LISTEN", "127.0.0.1:0".to_owned()),
            ("HEALTH_LISTEN", "127.0.0.1:0".to_owned()),
            ("SHUTDOWN_DELAY", "0s".to_owned()),
            ("GRPC_TLS_CERT_FILE", path(&server.certificate)),
            ("GRPC_TLS_KEY_FILE", path(&server.key)),
            (
                "GRPC_TLS_CLIENT_CA_FILE",
                path(&self.certificates.authority),
            ),
            (
                "SEALING_PRIVATE_KEYS",
                self.key.to_secret_text().expose_secret().to_owned(),
            ),
            ("POLICY", "any-certificate".to_owned()),
            ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true".to_owned()),
            ("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true".to_owned()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let named: Vec<&String> = self.variables.iter().map(|(name, _)| name).collect();
        variables.retain(|(name, _)| !named.contains(&name));
        variables.extend(self.variables.iter().cloned());
        variables
    }

    pub fn configuration(&self) -> Config {
        Config::from_environment(&self.environment(), Arc::new(SystemClock)).unwrap()
    }

    /// Starts a replica in a separate runtime, so that it can be killed.
    pub fn replica(&self) -> Replica {
        Replica::start(|| self.configuration())
    }

    /// Starts one replica and a client of it.
    pub async fn served(&self) -> (Replica, Client) {
        let replica = self.replica();
        let client = replica.client(&self.certificates).await;
        (replica, client)
    }

    /// Waits until so many replicas listen for changes: they read again what they read before.
    pub async fn replicas_listen(&self, replicas: i64) {
        eventually(async || {
            let listening: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'LISTEN%'",
            )
            .fetch_one(self.pool())
            .await
            .unwrap();
            (listening >= replicas).then_some(())
        })
        .await;
    }
}

impl World {
    /// Commits survive a crash of the server; other tests do not need this.
    pub async fn keep_what_is_committed(&self) {
        self.database.alter("SET synchronous_commit = on").await;
    }

    /// Makes the database fail for refresh-svc only.
    pub async fn cut_database_off(&self) {
        self.database.alter("CONNECTION LIMIT 0").await;
        self.end_sessions().await;
    }

    /// Makes new sessions read-only, as on a demoted server, and ends the current ones.
    pub async fn demote_database(&self) {
        let read_only = "SET default_transaction_read_only = on";
        self.database.alter(read_only).await;
        self.end_sessions().await;
    }

    /// Lets new sessions write again, as on the promoted server. Existing sessions stay
    /// read-only.
    pub async fn promote_database(&self) {
        let read_write = "RESET default_transaction_read_only";
        self.database.alter(read_write).await;
    }

    async fn end_sessions(&self) {
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = 'refresh_svc' AND datname = current_database()",
        )
        .execute(self.pool())
        .await
        .unwrap();
    }

    /// Replicas that start from now on reach the database through a proxy.
    pub async fn behind_a_proxy(self) -> (Self, Proxy) {
        let url = self.database.url(Role::Refresh);
        let (proxy, through) = Proxy::in_front_of(&url).await.unwrap();
        (self.with("DATABASE_URL", &through), proxy)
    }

    /// Ends [`World::cut_database_off`].
    pub async fn let_database_in(&self) {
        self.database.alter("CONNECTION LIMIT -1").await;
    }
}

/// Delays the next refresh at the provider.
pub fn slow(millis: u64) -> Fault {
    Fault::on(Endpoint::Token)
        .of_grant("refresh_token")
        .delayed_ms(millis)
}

impl World {
    /// Requests a token and waits until the provider has received one request.
    pub async fn under_way(
        &self,
        client: &Client,
        account: &Account,
        flavour: Flavour,
    ) -> JoinHandle<Result<AccessToken, Status>> {
        let (asking, id) = (client.clone(), account.id);
        let waiting = tokio::spawn(async move { asking.get(id).await });
        eventually(async || (self.demo.refreshes(flavour) == 1).then_some(())).await;
        waiting
    }
}

/// Waits until a condition holds.
pub async fn eventually<T>(check: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, check).await
}

/// Waits until a condition holds, at most for `patience`.
pub async fn within<T>(patience: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
