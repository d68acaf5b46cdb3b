//! The stack of `cargo dev bench login`: the three services as they run in production, a provider
//! that costs nothing, and a second database for the same statements without the services.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use devstack::browser::Browser;
use devstack::stack::{WORKSPACE_DOMAINS, WORKSPACE_NAME};
use devstack::{Options, ServiceId, Stack};
use latchkey_servers::Progress;
use sqlx::{Executor as _, PgPool};

use super::provider::InstantProvider;
use crate::load::Measurement;

/// The services.
pub const SERVICES: [ServiceId; 3] = [ServiceId::Auth, ServiceId::Sync, ServiceId::Refresh(0)];
/// Connections of each pool, as many as a service has.
pub const CONNECTIONS: u32 = 16;
/// Variable of a service with its database.
pub const DATABASE_URL: &str = "DATABASE_URL";
/// Name of the second database.
pub const PLAIN: &str = "plain";

/// How often accounts are counted while they are awaited.
const LOOK: Duration = Duration::from_millis(50);
/// Accounts that are not there by then are an error.
const LONGEST: Duration = Duration::from_mins(5);

/// Everything that runs during the benchmark.
pub struct LoginTestbed {
    /// Servers and services.
    pub stack: Stack,
    /// The provider of all sign-ins.
    pub provider: InstantProvider,
    /// Connections of the superuser to the second database, without tests of connections.
    pub plain: PgPool,
    /// A browser whose connections are shared.
    pub browser: Browser,
}

impl LoginTestbed {
    /// Starts everything.
    pub async fn start(progress: &Progress) -> anyhow::Result<Self> {
        let provider = InstantProvider::start()?;
        let mut options = Options::test()
            // One machine has the addresses of all people.
            .with("RATE_LIMIT_PER_ADDRESS", "0")
            .with("AUTH_OIDC_DEMO_ISSUER", provider.issuer());
        options.group = "bench-login";
        options.durable = true;
        options.progress = progress.clone();
        let mut stack = Stack::start(options).await?;
        record_commit_times(&mut stack).await?;
        let plain = create_plain(&stack).await?;
        Ok(Self {
            stack,
            provider,
            plain,
            browser: Browser::new()?,
        })
    }

    /// Returns the process id of a service.
    pub fn process(&mut self, id: ServiceId) -> anyhow::Result<u32> {
        let service = self.stack.service(id)?;
        service.process_id().context("a service is not running")
    }

    /// Restarts a service with another value of a variable. Returns the value before; empty if it was
    /// not set.
    pub async fn restart_with(
        &mut self,
        id: ServiceId,
        name: &str,
        value: &str,
    ) -> anyhow::Result<String> {
        let service = self.stack.service(id)?;
        let before = service.variable(name).unwrap_or_default().to_owned();
        service.stop();
        service.set(name, value);
        service.start().await?;
        Ok(before)
    }

    /// Waits until each person of a phase has an account. Returns the commit times of the accounts
    /// in seconds since 1970, by handle.
    pub async fn committed(
        &self,
        phase: &str,
        count: usize,
    ) -> anyhow::Result<HashMap<String, f64>> {
        let begun = Instant::now();
        loop {
            // The clock of the machine is the clock of the database.
            let committed: Vec<(String, f64)> = sqlx::query_as(
                "SELECT handle, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8
                 FROM sync.connected_account WHERE starts_with(handle, $1)",
            )
            .bind(phase)
            .fetch_all(self.stack.pool())
            .await?;
            if committed.len() == count {
                return Ok(committed.into_iter().collect());
            }
            anyhow::ensure!(
                begun.elapsed() < LONGEST,
                "{} of {count} accounts of {phase} are there",
                committed.len()
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Returns the times from the beginnings, in seconds since 1970, to the commits.
pub fn until_committed(
    sent: &HashMap<String, f64>,
    committed: &HashMap<String, f64>,
) -> anyhow::Result<Measurement> {
    let mut measured = Measurement::empty()?;
    for (handle, begun) in sent {
        let took = committed.get(handle).map(|committed| committed - begun);
        measured.record(took.and_then(|took| Duration::try_from_secs_f64(took).ok()));
    }
    Ok(measured)
}

/// Lets PostgreSQL record when each transaction was committed, which only a restart can change.
async fn record_commit_times(stack: &mut Stack) -> anyhow::Result<()> {
    stack
        .pool()
        .execute(sqlx::raw_sql(
            "ALTER SYSTEM SET track_commit_timestamp = on",
        ))
        .await?;
    for id in SERVICES {
        stack.service(id)?.stop();
    }
    stack.servers.postgres.stop();
    stack.servers.postgres.resume().await?;
    for id in SERVICES {
        stack.service(id)?.start().await?;
    }
    Ok(())
}

/// Creates the second database, with the same workspace.
async fn create_plain(stack: &Stack) -> anyhow::Result<PgPool> {
    stack
        .pool()
        .execute(sqlx::raw_sql("CREATE DATABASE plain"))
        .await?;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .test_before_acquire(false)
        .connect(&stack.servers.postgres.url(PLAIN))
        .await?;
    latchkey_migrations::run(&pool).await?;
    let workspace = stack.database().workspace_id();
    sqlx::query("INSERT INTO auth.workspace (id, name, subdomain) VALUES ($1, $2, 'acme')")
        .bind(workspace)
        .bind(WORKSPACE_NAME)
        .execute(&pool)
        .await?;
    sqlx::query(
        "INSERT INTO auth.approved_access_domain (workspace_id, domain)
         SELECT $1, domain FROM unnest($2::text[]) AS domain",
    )
    .bind(workspace)
    .bind(WORKSPACE_DOMAINS.map(str::to_owned).to_vec())
    .execute(&pool)
    .await?;
    Ok(pool)
}
