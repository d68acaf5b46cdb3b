//! The database of the stack: migrated, with a login role for each service and one workspace.

use anyhow::Context as _;
use latchkey_servers::{Postgres, Proxy};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::Options;

const DATABASE: &str = "latchkey";

/// Name of the workspace of a new stack.
pub const WORKSPACE_NAME: &str = "Acme";
/// Domains whose people may join the workspace.
pub const WORKSPACE_DOMAINS: [&str; 2] = ["acme.example", "acme.test"];

/// The database of the stack.
#[derive(Debug)]
pub struct Database {
    pool: PgPool,
    url: String,
    auth_url: String,
    sync_url: String,
    refresh_url: String,
    operator_url: String,
    workspace_id: Uuid,
}

impl Database {
    pub(super) async fn create(
        server: &Postgres,
        proxy: Option<&Proxy>,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let maintenance = PgPool::connect(&server.url("postgres")).await?;
        sqlx::query("CREATE DATABASE latchkey")
            .execute(&maintenance)
            .await?;
        maintenance.close().await;
        let url = server.url(DATABASE);
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .connect(&url)
            .await?;
        latchkey_migrations::run(&pool).await?;
        let auth_url = login(&pool, server, "auth_svc", "latchkey_auth").await?;
        let sync_url = login(&pool, server, "sync_svc", "latchkey_sync").await?;
        let refresh_url = login(&pool, server, "refresh_svc", "latchkey_refresh").await?;
        let operator_url = login(&pool, server, "operator", "latchkey_operator").await?;
        let workspace_id = seed(&pool, options).await?;
        let through = |url: String| proxy.map_or_else(|| url.clone(), |proxy| proxy.through(&url));
        Ok(Self {
            pool,
            url,
            auth_url: through(auth_url),
            sync_url: through(sync_url),
            refresh_url: through(refresh_url),
            operator_url,
            workspace_id,
        })
    }

    /// Returns connections of the superuser.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns the URL for the superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL for a member of the role `latchkey_operator`.
    pub fn operator_url(&self) -> &str {
        &self.operator_url
    }

    /// Returns the id of the workspace.
    pub fn workspace_id(&self) -> Uuid {
        self.workspace_id
    }

    pub(super) fn auth_url(&self) -> &str {
        &self.auth_url
    }

    pub(super) fn sync_url(&self) -> &str {
        &self.sync_url
    }

    pub(super) fn refresh_url(&self) -> &str {
        &self.refresh_url
    }
}

/// Creates a login role in the group role of a service and returns its URL.
async fn login(
    pool: &PgPool,
    server: &Postgres,
    name: &str,
    group: &str,
) -> anyhow::Result<String> {
    let password = Uuid::new_v4().simple().to_string();
    let statement = format!("CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {group}");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .with_context(|| format!("cannot create the role {name}"))?;
    Ok(server.url_as(name, &password, DATABASE))
}

/// Creates a workspace that people can sign in to.
async fn seed(pool: &PgPool, options: &Options) -> anyhow::Result<Uuid> {
    let id: Uuid = sqlx::query_scalar(
        "INSERT INTO auth.workspace (name, subdomain) VALUES ($1, 'acme') RETURNING id",
    )
    .bind(WORKSPACE_NAME)
    .fetch_one(pool)
    .await?;
    let mut domains: Vec<String> = WORKSPACE_DOMAINS.map(str::to_owned).to_vec();
    if options.inherit {
        // With a real provider, the domains of real people are needed:
        // `LATCHKEY_DEV_DOMAINS=example.com`.
        let more = std::env::var("LATCHKEY_DEV_DOMAINS").unwrap_or_default();
        domains.extend(
            more.split([',', ' '])
                .filter(|domain| !domain.is_empty())
                .map(str::to_lowercase),
        );
    }
    sqlx::query(
        "INSERT INTO auth.approved_access_domain (workspace_id, domain)
         SELECT $1, d FROM unnest($2) AS d ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(&domains)
    .execute(pool)
    .await?;
    Ok(id)
}
