//! A stack on a database with many accounts, whose statements are explained.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use devstack::{Options, ServiceId, Stack};
use latchkey_config::Environment;
use latchkey_servers::Progress;
use sqlx::{AssertSqlSafe, PgPool};

use crate::execution::{Execution, LOG_LINE_PREFIX, read};
use crate::fill::fill;
use crate::workload;

const SERVICES: [ServiceId; 3] = [ServiceId::Auth, ServiceId::Sync, ServiceId::Refresh(0)];
/// The roles of the services in the stack.
const ROLES: [&str; 3] = ["auth_svc", "sync_svc", "refresh_svc"];
/// What a new session of a role logs: each statement, and those within triggers and foreign keys.
const EXPLAIN: [(&str, &str); 8] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    ("auto_explain.log_verbose", "on"),
    ("auto_explain.log_nested_statements", "on"),
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_format", "json"),
];
/// A table with fewer rows does not grow with the number of accounts.
const SMALL: f32 = 500.0;

/// What was executed during a measurement.
#[derive(Debug)]
pub struct Measurement {
    /// While people used the services.
    pub use_by_people: Vec<Execution>,
    /// While old rows were deleted.
    pub clean_up: Vec<Execution>,
}

impl Measurement {
    /// Returns all executions.
    pub fn all(self) -> Vec<Execution> {
        let mut all = self.use_by_people;
        all.extend(self.clean_up);
        all
    }
}

/// The stack.
pub struct Testbed {
    /// The stack.
    pub stack: Stack,
    progress: Progress,
    /// Number of accounts that were filled in.
    accounts: u64,
    /// Number of people that have signed in.
    people: usize,
}

impl Testbed {
    /// Starts servers and services with an empty database. `group` is the name of the directory
    /// below `target/`.
    ///
    /// # Errors
    /// A server or a service does not start.
    pub async fn start(group: &'static str, progress: &Progress) -> anyhow::Result<Self> {
        // One machine has the addresses of all people.
        let mut options = Options::test()
            .with("RATE_LIMIT_PER_ADDRESS", "0")
            .with("TOKEN_PAIR_COOKIE_ENABLED", "true");
        options.group = group;
        options.progress = Arc::clone(progress);
        let stack = Stack::start(options).await?;
        let pool = stack.pool();
        for role in ROLES {
            for (name, value) in EXPLAIN {
                let set = format!("ALTER ROLE {role} IN DATABASE latchkey SET {name} = '{value}'");
                execute(pool, set).await?;
            }
        }
        let prefix = format!("ALTER SYSTEM SET log_line_prefix = '{LOG_LINE_PREFIX}'");
        execute(pool, prefix).await?;
        execute(pool, "SELECT pg_reload_conf()".to_owned()).await?;
        Ok(Self {
            stack,
            progress: Arc::clone(progress),
            accounts: 0,
            people: 0,
        })
    }

    /// Fills the database until it has this many accounts. The services do not run meanwhile, and
    /// have new connections afterwards.
    ///
    /// # Errors
    /// The database fails, or a service does not start.
    pub async fn grow(&mut self, accounts: u64) -> anyhow::Result<()> {
        for id in SERVICES {
            self.stack.service(id)?.stop();
        }
        if accounts > self.accounts {
            let key = self.variable(ServiceId::Auth, "SEALING_PUBLIC_KEY")?;
            let (key_id, _) = key.split_once(':').context("the key has no id")?;
            let url = self.stack.database().url();
            fill(url, key_id, self.accounts + 1..=accounts, &self.progress).await?;
            self.accounts = accounts;
        }
        for id in SERVICES {
            self.stack.service(id)?.start().await?;
        }
        Ok(())
    }

    /// Lets `count` new people sign in, use their accounts and sign out, deletes what is old, and
    /// returns what was executed.
    ///
    /// # Errors
    /// A step fails, or the log cannot be read.
    pub async fn measure(&mut self, count: usize) -> anyhow::Result<Measurement> {
        let begin = self.log()?.len();
        let people = self.next_people(count);
        if let Err(error) = workload::run(&self.stack, people).await {
            self.stack.servers.keep_directory();
            let directory = self.stack.directory();
            return Err(error.context(format!("the logs are in {}", directory.display())));
        }
        let auth = self.pool_of(ServiceId::Auth)?;
        let sync = self.pool_of(ServiceId::Sync)?;
        let used = self.log()?.len();
        workload::clean_up(&auth, &sync).await?;
        let log = self.log()?;
        let part = |range| log.get(range).context("PostgreSQL's log was replaced");
        Ok(Measurement {
            use_by_people: read(part(begin..used)?)?,
            clean_up: read(part(used..log.len())?)?,
        })
    }

    /// Returns the tables, with schemas, whose rows grow with the number of accounts.
    ///
    /// # Errors
    /// The database fails.
    pub async fn growing(&self) -> anyhow::Result<BTreeSet<String>> {
        self.tables("reltuples >= $1").await
    }

    /// Returns the other tables.
    ///
    /// # Errors
    /// The database fails.
    pub async fn small(&self) -> anyhow::Result<BTreeSet<String>> {
        // The partitions of a table come and go.
        self.tables("reltuples < $1 AND NOT relispartition").await
    }

    /// Returns the size of each growing table with its indexes in bytes, the largest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sizes(&self) -> anyhow::Result<Vec<(String, i64)>> {
        Ok(sqlx::query_as(
            "SELECT relnamespace::regnamespace || '.' || relname, pg_total_relation_size(oid)
             FROM pg_class
             WHERE relkind = 'r' AND reltuples >= $1
               AND relnamespace IN ('auth'::regnamespace, 'sync'::regnamespace,
                                    'vault'::regnamespace)
             ORDER BY 2 DESC",
        )
        .bind(SMALL)
        .fetch_all(self.stack.pool())
        .await?)
    }

    async fn tables(&self, condition: &str) -> anyhow::Result<BTreeSet<String>> {
        let query = format!(
            "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class
             WHERE relkind = 'r' AND {condition}
               AND relnamespace IN ('auth'::regnamespace, 'sync'::regnamespace,
                                    'vault'::regnamespace)"
        );
        let tables: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(SMALL)
            .fetch_all(self.stack.pool())
            .await?;
        Ok(tables.into_iter().collect())
    }

    fn next_people(&mut self, count: usize) -> Range<usize> {
        let first = self.people;
        self.people += count;
        first..self.people
    }

    /// A pool as a service has it, whose statements are explained.
    fn pool_of(&mut self, id: ServiceId) -> anyhow::Result<PgPool> {
        const URL: &str = "DATABASE_URL";
        let environment = Environment::from_iter([(URL, self.variable(id, URL)?)]);
        Ok(latchkey_service::database::pool(&environment, "plans")?)
    }

    /// Returns a variable with which a service is started.
    fn variable(&mut self, id: ServiceId, name: &str) -> anyhow::Result<String> {
        Ok(self.stack.service(id)?.variable(name)?.to_owned())
    }

    fn log(&self) -> anyhow::Result<String> {
        let path: PathBuf = self.stack.directory().join("postgres.log");
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Executes a statement of this module.
async fn execute(pool: &PgPool, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .map(|_| ())
}
