//! A world for one test: database, provider, keys, certificates, replicas.

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
use latchkey_demo_provider::{Config, DemoProvider, Endpoint, Fault, Flavour};
use latchkey_domain::SystemClock;
use latchkey_opening::{OpeningKey, OpeningKeys};
use latchkey_proto::token::AccessToken;
use latchkey_testkit::{Role, TestCertificates, TestDatabase};
use refresh_svc::Configuration;
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tonic::Status;
use url::Url;

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
    /// Variables that replicas started from now on get beside the usual ones.
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
            demo: DemoProvider::start(Config::default()).await.unwrap(),
            certificates: TestCertificates::create(),
            key: OpeningKey::generate().unwrap(),
            variables: Vec::new(),
        }
    }

    /// Nothing is answered from memory: what a test changes in the database
    /// counts at once, and not when the notification has come.
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
            // Who holds one and waits for another is found out.
            ("DATABASE_MAX_CONNECTIONS", "1".to_owned()),
            // Nobody there: the outbox keeps what it holds.
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

    pub fn configuration(&self) -> Configuration {
        Configuration::from_environment(&self.environment(), Arc::new(SystemClock)).unwrap()
    }

    /// A replica in a runtime of its own, so that it can be killed.
    pub fn replica(&self) -> Replica {
        Replica::start(|| self.configuration())
    }

    /// One replica and a client of it.
    pub async fn served(&self) -> (Replica, Client) {
        let replica = self.replica();
        let client = replica.client(&self.certificates).await;
        (replica, client)
    }

    /// Waits until a replica hears of changes: what it read before is read again.
    pub async fn listens(&self) {
        within(Duration::from_mins(1), async || {
            sqlx::query_scalar::<_, i32>(
                "SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'LISTEN%'",
            )
            .fetch_optional(self.pool())
            .await
            .unwrap()
        })
        .await;
    }
}

impl World {
    async fn alter_database(&self, what: &str) {
        let mut connection = self.pool().acquire().await.unwrap();
        // A connection that is new while the database only reads may write all the
        // same.
        sqlx::query("SET default_transaction_read_only = off")
            .execute(&mut *connection)
            .await
            .unwrap();
        let name: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let statement = format!("ALTER DATABASE {name} {what}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
            .unwrap();
    }

    /// What is committed outlives a crash of the server; in tests it need not.
    pub async fn keep_what_is_committed(&self) {
        self.alter_database("SET synchronous_commit = on").await;
    }

    /// The database fails for refresh-svc, and only for it.
    pub async fn cut_database_off(&self) {
        self.alter_database("CONNECTION LIMIT 0").await;
        self.end_sessions().await;
    }

    /// From now on its sessions may read only, as at a server that was demoted;
    /// the present ones end if they are to.
    pub async fn demote_database(&self) {
        self.alter_database("SET default_transaction_read_only = on")
            .await;
        self.end_sessions().await;
    }

    /// New sessions may write again: they lead to the server that was promoted.
    /// Those of before stay where they are.
    pub async fn promote_database(&self) {
        self.alter_database("RESET default_transaction_read_only")
            .await;
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

    /// Replicas from now on reach the database through a proxy.
    pub async fn behind_a_proxy(self) -> (Self, Proxy) {
        let url = self.database.url(Role::Refresh);
        let server = Url::parse(&url).unwrap();
        let server = server.socket_addrs(|| None).unwrap().remove(0);
        let proxy = Proxy::start(server).await.unwrap();
        let through = proxy.through(&url);
        (self.with("DATABASE_URL", &through), proxy)
    }

    /// The database is back.
    pub async fn let_database_in(&self) {
        self.alter_database("CONNECTION LIMIT -1").await;
    }
}

/// The next refresh takes so long at the provider.
pub fn slow(millis: u64) -> Fault {
    Fault::on(Endpoint::Token)
        .of_grant("refresh_token")
        .delayed_ms(millis)
}

impl World {
    /// Asks for an account, and waits until the provider has been asked once.
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

/// Waits until something holds.
pub async fn eventually<T>(check: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(10), check).await
}

/// Waits longer.
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
