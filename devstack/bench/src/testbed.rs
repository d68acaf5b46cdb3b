//! The environment of a benchmark: a private PostgreSQL with accounts, the demo provider,
//! certificates, and the measured services as child processes.

mod accounts;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use latchkey_demo_provider::{Config, DemoProvider};
use latchkey_opening::OpeningKey;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_servers::{
    Certificates, Child, ChildSpec, KeyPairFiles, Package, Postgres, Progress, RunDirectory,
    ensure_installed, free_port,
};
use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, PgPool};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::database;

/// Scopes of every account.
pub const SCOPES: [&str; 3] = ["openid", "email", "mail.read"];

/// Size of a token in bytes. Google's have about 250, Microsoft's about 2,000.
pub const TOKEN_BYTES: usize = 1024;

/// A client with its own connection.
pub type Client = TokenServiceClient<Channel>;

/// Returns a token of a realistic length.
pub fn token_text(number: usize) -> String {
    let seed = format!("{number:08x}.");
    let mut text = format!("ya29.{seed}");
    while text.len() < TOKEN_BYTES {
        text.push_str(&seed);
    }
    text.truncate(TOKEN_BYTES);
    text
}

/// Everything that runs during a benchmark.
pub struct Testbed {
    /// The demo provider.
    pub demo: DemoProvider,
    pool: PgPool,
    // Stopped when this value is dropped.
    _postgres: Postgres,
    key: Arc<OpeningKey>,
    certificates: Certificates,
    server: KeyPairFiles,
    client: KeyPairFiles,
    stranger: KeyPairFiles,
    refresh_url: String,
    directory: RunDirectory,
    counts_instructions: bool,
}

/// A service in its own process.
pub struct RunningService {
    /// Address of its gRPC port.
    pub address: SocketAddr,
    /// Its process id.
    pub process: u32,
    // Stopped when this value is dropped.
    _child: Child,
}

impl Testbed {
    /// Starts everything except the measured services.
    pub async fn start(progress: &Progress) -> anyhow::Result<Self> {
        ensure_installed(&[Package::Postgres], progress)?;
        let directory = RunDirectory::create("bench")?;
        progress("starting PostgreSQL and the demo provider");
        let postgres = Postgres::start(directory.path()).await?;
        let pool = database::create(&postgres, 4).await?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let statement =
            format!("CREATE ROLE refresh_svc LOGIN PASSWORD '{password}' IN ROLE latchkey_refresh");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&pool)
            .await?;
        let certificates = Certificates::create(&directory.path().join("certificates"))?;
        let demo = DemoProvider::start(Config::default()).await?;
        // Its signature would cost this machine more than all else of a refresh, and refresh-svc does
        // not need it.
        demo.change(|settings| settings.id_token_on_refresh = false);
        Ok(Self {
            demo,
            refresh_url: postgres.url_as("refresh_svc", &password, database::NAME),
            key: Arc::new(OpeningKey::generate()?),
            server: certificates.server("server")?,
            client: certificates.client("bench")?,
            stranger: certificates.client("stranger")?,
            certificates,
            pool,
            _postgres: postgres,
            directory,
            counts_instructions: false,
        })
    }

    /// Runs the services that are started from now on under valgrind, with one worker thread.
    #[must_use]
    pub fn counting_instructions(mut self) -> Self {
        self.counts_instructions = true;
        self
    }

    /// Returns the file in which callgrind writes its counts of a service, without the number that
    /// it adds for each time.
    pub fn counts(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.callgrind"))
    }

    /// Starts a replica of refresh-svc.
    pub async fn refresh_svc(&self, program: &Path, name: &str) -> anyhow::Result<RunningService> {
        let path = |path: &Path| path.display().to_string();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut variables: BTreeMap<String, String> = self.demo.environment();
        for (name, value) in [
            ("DATABASE_URL", self.refresh_url.clone()),
            // No broker is needed, because nothing that is measured publishes a message.
            ("AMQP_URL", "amqp://nobody:x@127.0.0.1:1/%2f".to_owned()),
            ("GRPC_LISTEN", address.to_string()),
            ("HEALTH_LISTEN", "127.0.0.1:0".to_owned()),
            ("GRPC_TLS_CERT_FILE", path(&self.server.certificate)),
            ("GRPC_TLS_KEY_FILE", path(&self.server.key)),
            (
                "GRPC_TLS_CLIENT_CA_FILE",
                path(&self.certificates.authority_file()),
            ),
            (
                "SEALING_PRIVATE_KEYS",
                self.key.to_secret_text().expose_secret().to_owned(),
            ),
            ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true".to_owned()),
            ("POLICY", POLICY.to_owned()),
            ("TOKEN_CACHE_CAPACITY", "200000".to_owned()),
        ] {
            variables.insert(name.to_owned(), value);
        }
        let mut spec = self.spec(name, program);
        for (name, value) in variables {
            spec = spec.env(&name, value);
        }
        self.running(spec, address).await
    }

    /// Starts the null service.
    pub async fn null_service(&self) -> anyhow::Result<RunningService> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let spec = self
            .spec("null-service", &std::env::current_exe()?)
            .arg("null-service")
            .arg("--listen")
            .arg(address.to_string())
            .arg("--certificate")
            .arg(&self.server.certificate)
            .arg("--key")
            .arg(&self.server.key)
            .arg("--client-ca")
            .arg(self.certificates.authority_file());
        self.running(spec, address).await
    }

    fn spec(&self, name: &str, program: &Path) -> ChildSpec {
        let log: PathBuf = self.directory.path().join(format!("{name}.log"));
        let started = if self.counts_instructions {
            Path::new("valgrind")
        } else {
            program
        };
        let mut spec = ChildSpec::new(name, started, self.directory.path(), &log);
        spec.clear_environment = true;
        if self.counts_instructions {
            let file = self.counts(name);
            spec = spec
                .env("TOKIO_WORKER_THREADS", "1")
                .arg("--tool=callgrind")
                .arg(format!("--callgrind-out-file={}", file.display()))
                .arg(program);
        }
        spec
    }

    async fn running(
        &self,
        spec: ChildSpec,
        address: SocketAddr,
    ) -> anyhow::Result<RunningService> {
        let log = spec.log.clone();
        let mut child = Child::start(spec)?;
        let ready = child
            .wait_until(self.start_timeout(), || async {
                self.connect(address).await.is_ok()
            })
            .await;
        if let Err(error) = ready {
            let text = log.and_then(|log| std::fs::read_to_string(log).ok());
            anyhow::bail!("{error}\n{}", text.unwrap_or_default());
        }
        Ok(RunningService {
            address,
            process: child.id(),
            _child: child,
        })
    }

    /// A program takes fifty times as long under valgrind.
    fn start_timeout(&self) -> Duration {
        Duration::from_secs(if self.counts_instructions { 180 } else { 30 })
    }

    /// Opens a connection with mutual TLS.
    pub async fn connect(&self, address: SocketAddr) -> anyhow::Result<Client> {
        self.connect_as(&self.client, address).await
    }

    /// Opens a connection of a caller that the policy allows only a provider that no account
    /// has.
    pub async fn connect_as_stranger(&self, address: SocketAddr) -> anyhow::Result<Client> {
        self.connect_as(&self.stranger, address).await
    }

    async fn connect_as(
        &self,
        caller: &KeyPairFiles,
        address: SocketAddr,
    ) -> anyhow::Result<Client> {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(std::fs::read(
                self.certificates.authority_file(),
            )?))
            .identity(Identity::from_pem(
                std::fs::read(&caller.certificate)?,
                std::fs::read(&caller.key)?,
            ));
        let channel = Endpoint::from_shared(format!("https://{address}"))?
            .tcp_nodelay(true)
            .tls_config(tls)?
            .connect()
            .await?;
        Ok(TokenServiceClient::new(channel))
    }

    /// Opens `count` connections.
    pub async fn connections(
        &self,
        address: SocketAddr,
        count: usize,
    ) -> anyhow::Result<Vec<Client>> {
        futures::future::try_join_all((0..count).map(|_| self.connect(address))).await
    }
}

/// The policy is checked for each call, as in production.
const POLICY: &str = "[[rule]]\ncallers = [\"bench\"]\nmethods = [\"GetAccessToken\"]\n\
    providers = [\"google\", \"demo\"]\nworkspaces = \"*\"\nscopes = \"*\"\n\
    [[rule]]\ncallers = [\"stranger\"]\nmethods = [\"GetAccessToken\"]\n\
    providers = [\"nobody\"]\nworkspaces = \"*\"\nscopes = \"*\"\n";
