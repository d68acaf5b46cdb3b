//! What is measured, and what it needs: a private PostgreSQL with accounts, the
//! demo provider, certificates, refresh-svc in processes of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_demo_provider::{Config, DemoProvider, Flavour};
use latchkey_domain::{AccessToken, AccountId, GrantBinding, RefreshToken, UserId, WorkspaceId};
use latchkey_opening::OpeningKey;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_servers::{
    Certificates, Child, ChildSpec, KeyPairFiles, Need, Postgres, Progress, RunDirectory,
    ensure_installed, free_port,
};
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// Scopes of every account.
pub const SCOPES: [&str; 3] = ["openid", "email", "mail.read"];

/// Bytes of a token: between Google's quarter and Microsoft's two kilobytes.
pub const TOKEN_BYTES: usize = 1024;

/// Accounts sealed and inserted at once.
const BATCH: usize = 1_000;

/// A client on a connection of its own.
pub type Client = TokenServiceClient<Channel>;

/// A token as long as real ones.
pub fn token_text(number: usize) -> String {
    let seed = format!("{number:08x}.");
    let mut text = format!("ya29.{seed}");
    while text.len() < TOKEN_BYTES {
        text.push_str(&seed);
    }
    text.truncate(TOKEN_BYTES);
    text
}

/// Everything that is there while the benchmark runs.
pub struct World {
    /// The provider.
    pub demo: DemoProvider,
    pool: PgPool,
    // Ends with this value.
    _postgres: Postgres,
    key: Arc<OpeningKey>,
    certificates: Certificates,
    server: KeyPairFiles,
    client: KeyPairFiles,
    refresh_url: String,
    directory: RunDirectory,
}

/// A service in a process of its own.
pub struct Running {
    /// Where it serves.
    pub address: SocketAddr,
    /// Its process.
    pub process: u32,
    // Ends with this value.
    _child: Child,
}

impl World {
    /// Starts what is not measured.
    pub async fn start(progress: &Progress) -> anyhow::Result<Self> {
        ensure_installed(&[Need::Postgres], progress)?;
        let directory = RunDirectory::create("bench")?;
        progress("starting PostgreSQL and the demo provider");
        let postgres = Postgres::start(directory.path()).await?;
        let maintenance = PgPool::connect(&postgres.url("postgres")).await?;
        sqlx::query("CREATE DATABASE latchkey")
            .execute(&maintenance)
            .await?;
        maintenance.close().await;
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&postgres.url("latchkey"))
            .await?;
        latchkey_migrations::run(&pool).await?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let statement =
            format!("CREATE ROLE refresh_svc LOGIN PASSWORD '{password}' IN ROLE latchkey_refresh");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&pool)
            .await?;
        let certificates = Certificates::create(&directory.path().join("certificates"))?;
        Ok(Self {
            demo: DemoProvider::start(Config::default()).await?,
            refresh_url: postgres.url_as("refresh_svc", &password, "latchkey"),
            key: Arc::new(OpeningKey::generate()?),
            server: certificates.server("server")?,
            client: certificates.client("bench")?,
            certificates,
            pool,
            _postgres: postgres,
            directory,
        })
    }

    /// Accounts with a token that lives for another 50 minutes.
    pub async fn add_living(&self, count: usize) -> anyhow::Result<Vec<AccountId>> {
        let grants = (0..count).map(|number| (token_text(number), format!("1//{number:060}")));
        self.add(grants.collect(), 50 * 60).await
    }

    /// Accounts whose token has expired and whose refresh token works.
    pub async fn add_expired(&self, count: usize) -> anyhow::Result<Vec<AccountId>> {
        let mut grants = Vec::with_capacity(count);
        for _ in 0..count {
            let grant = self.demo.grant(Flavour::Google, "ada", &SCOPES);
            grants.push(grant.context("the demo provider knows no ada")?);
        }
        self.add(grants, -10).await
    }

    async fn add(
        &self,
        grants: Vec<(String, String)>,
        expires_in: i32,
    ) -> anyhow::Result<Vec<AccountId>> {
        let mut accounts = Vec::with_capacity(grants.len());
        for batch in grants.chunks(2 * BATCH) {
            let (one, other) = batch.split_at(batch.len() / 2);
            let (one, other) = tokio::try_join!(
                self.add_batch(one.to_vec(), expires_in),
                self.add_batch(other.to_vec(), expires_in)
            )?;
            accounts.extend(one);
            accounts.extend(other);
        }
        Ok(accounts)
    }

    async fn add_batch(
        &self,
        grants: Vec<(String, String)>,
        expires_in: i32,
    ) -> anyhow::Result<Vec<AccountId>> {
        let (key, issuer) = (Arc::clone(&self.key), self.demo.issuer(Flavour::Google));
        let rows = tokio::task::spawn_blocking(move || seal(&key, &issuer, &grants)).await??;
        let ids = rows.accounts.clone();
        sqlx::query(
            "INSERT INTO vault.credential
                 (account_id, workspace_id, user_id, provider, issuer, subject, handle,
                  sealed_access_token, access_token_expires_at, sealed_refresh_token,
                  granted_scopes, authenticated_at)
             SELECT account, workspace, owner, 'google', $4, $5, account || '@acme.example',
                    access, now() + make_interval(secs => $8), refresh, $9,
                    now() - interval '10 minutes'
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $6::bytea[], $7::bytea[])
                 AS new (account, workspace, owner, access, refresh)",
        )
        .bind(rows.accounts)
        .bind(rows.workspaces)
        .bind(rows.users)
        .bind(self.demo.issuer(Flavour::Google))
        .bind(SUBJECT)
        .bind(rows.access)
        .bind(rows.refresh)
        .bind(f64::from(expires_in))
        .bind(SCOPES.map(str::to_owned).to_vec())
        .execute(&self.pool)
        .await?;
        Ok(ids.into_iter().map(AccountId::from).collect())
    }

    /// A replica of refresh-svc.
    pub async fn refresh_svc(&self, program: &Path, name: &str) -> anyhow::Result<Running> {
        let path = |path: &Path| path.display().to_string();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut variables: BTreeMap<String, String> = self.demo.environment();
        for (name, value) in [
            ("DATABASE_URL", self.refresh_url.clone()),
            // Nobody there: nothing that is measured publishes.
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
            // A provider that answers in 20 s.
            ("REFRESH_PROVIDER_DEADLINE", "30s".to_owned()),
            ("REFRESH_LEASE", "45s".to_owned()),
        ] {
            variables.insert(name.to_owned(), value);
        }
        let mut spec = self.spec(name, program);
        for (name, value) in variables {
            spec = spec.env(&name, value);
        }
        self.running(spec, address).await
    }

    /// The service that does nothing.
    pub async fn null_service(&self) -> anyhow::Result<Running> {
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
        let mut spec = ChildSpec::new(name, program, self.directory.path(), &log);
        spec.clear_environment = true;
        spec
    }

    async fn running(&self, spec: ChildSpec, address: SocketAddr) -> anyhow::Result<Running> {
        let log = spec.log.clone();
        let mut child = Child::start(spec)?;
        let ready = child
            .wait_until(Duration::from_secs(30), || async {
                self.connect(address).await.is_ok()
            })
            .await;
        if let Err(error) = ready {
            let text = log.and_then(|log| std::fs::read_to_string(log).ok());
            anyhow::bail!("{error}\n{}", text.unwrap_or_default());
        }
        Ok(Running {
            address,
            process: child.id(),
            _child: child,
        })
    }

    /// A connection of its own, over mutual TLS.
    pub async fn connect(&self, address: SocketAddr) -> anyhow::Result<Client> {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(std::fs::read(
                self.certificates.authority_file(),
            )?))
            .identity(Identity::from_pem(
                std::fs::read(&self.client.certificate)?,
                std::fs::read(&self.client.key)?,
            ));
        let channel = Endpoint::from_shared(format!("https://{address}"))?
            .tcp_nodelay(true)
            .tls_config(tls)?
            .connect()
            .await?;
        Ok(TokenServiceClient::new(channel))
    }

    /// That many connections.
    pub async fn connections(
        &self,
        address: SocketAddr,
        count: usize,
    ) -> anyhow::Result<Vec<Client>> {
        futures::future::try_join_all((0..count).map(|_| self.connect(address))).await
    }
}

/// Judged call by call, as in earnest.
const POLICY: &str = "[[rule]]\ncallers = [\"bench\"]\nmethods = [\"GetAccessToken\"]\n\
    providers = [\"google\"]\nworkspaces = \"*\"\nscopes = \"*\"\n";

const SUBJECT: &str = "100000000000000000001";

struct Rows {
    accounts: Vec<uuid::Uuid>,
    workspaces: Vec<uuid::Uuid>,
    users: Vec<uuid::Uuid>,
    access: Vec<Vec<u8>>,
    refresh: Vec<Vec<u8>>,
}

fn seal(key: &OpeningKey, issuer: &str, grants: &[(String, String)]) -> anyhow::Result<Rows> {
    let mut rows = Rows {
        accounts: Vec::new(),
        workspaces: Vec::new(),
        users: Vec::new(),
        access: Vec::new(),
        refresh: Vec::new(),
    };
    for (access, refresh) in grants {
        let binding = GrantBinding {
            workspace: WorkspaceId::generate(),
            user: UserId::generate(),
            provider: "google".parse()?,
            issuer: issuer.parse()?,
            subject: SUBJECT.parse()?,
        };
        let key = key.sealing_key();
        rows.accounts.push(AccountId::generate().as_uuid());
        rows.workspaces.push(binding.workspace.as_uuid());
        rows.users.push(binding.user.as_uuid());
        rows.access
            .push(key.seal_access_token(&AccessToken::new(access.as_str()), &binding)?);
        rows.refresh
            .push(key.seal_refresh_token(&RefreshToken::new(refresh.as_str()), &binding)?);
    }
    Ok(rows)
}
