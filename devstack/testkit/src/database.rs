//! A migrated database per test.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use uuid::Uuid;

/// Key of the advisory lock that is held while the template is created; an arbitrary constant.
const TEMPLATE_LOCK: i64 = 0x1a7c_4ce1;

/// The database role of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The superuser.
    Owner,
    /// auth-svc.
    Auth,
    /// sync-svc.
    Sync,
    /// refresh-svc.
    Refresh,
    /// A person who runs commands.
    Operator,
}

impl Role {
    /// The login roles with their group roles.
    const LOGINS: [(&'static str, &'static str); 4] = [
        ("auth_svc", "latchkey_auth"),
        ("sync_svc", "latchkey_sync"),
        ("refresh_svc", "latchkey_refresh"),
        ("operator_person", "latchkey_operator"),
    ];

    fn login(self) -> Option<&'static str> {
        match self {
            Self::Owner => None,
            Self::Auth => Some("auth_svc"),
            Self::Sync => Some("sync_svc"),
            Self::Refresh => Some("refresh_svc"),
            Self::Operator => Some("operator_person"),
        }
    }
}

/// A database for one test. It is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server: PgConnectOptions,
    pool: PgPool,
}

impl TestDatabase {
    /// Creates a database from the template, which the first test of a run migrates.
    ///
    /// # Panics
    /// The server cannot be reached.
    pub async fn create() -> Self {
        Self::create_at(&crate::server(crate::POSTGRES_URL)).await
    }

    /// Creates a database as [`TestDatabase::create`] does, on a server that belongs to the
    /// test.
    ///
    /// # Panics
    /// The server cannot be reached.
    #[expect(
        clippy::expect_used,
        reason = "a test cannot go on without its database"
    )]
    pub async fn create_at(server: &str) -> Self {
        Self::try_create(server)
            .await
            .expect("cannot create a test database")
    }

    /// Creates a database without migrations.
    ///
    /// # Panics
    /// The server cannot be reached.
    #[expect(
        clippy::expect_used,
        reason = "a test cannot go on without its database"
    )]
    pub async fn create_empty() -> Self {
        let (server, connection) = connect(&crate::server(crate::POSTGRES_URL))
            .await
            .expect("cannot reach the test server");
        Self::copy_of("template0", server, connection)
            .await
            .expect("cannot create a test database")
    }

    async fn try_create(server: &str) -> anyhow::Result<Self> {
        let (server, mut connection) = connect(server).await?;
        let template = ensure_template(&mut connection, &server).await?;
        Self::copy_of(&template, server, connection).await
    }

    async fn copy_of(
        template: &str,
        server: PgConnectOptions,
        mut connection: PgConnection,
    ) -> anyhow::Result<Self> {
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute(
            &mut connection,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await?;
        connection.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .connect_with(server.clone().database(&name))
            .await?;
        Ok(Self { name, server, pool })
    }

    /// Returns connections of the superuser.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns the URL for connections of a role.
    pub fn url(&self, role: Role) -> String {
        let mut options = self.server.clone().database(&self.name);
        if let Some(login) = role.login() {
            options = options.username(login).password(login);
        }
        options.to_url_lossy().to_string()
    }

    /// Moves every time in the tables into the past, as if `time` (an interval of PostgreSQL, such
    /// as `7 days`) had passed.
    ///
    /// # Panics
    /// The server refuses the change.
    #[expect(
        clippy::expect_used,
        reason = "a test cannot go on without its database"
    )]
    pub async fn let_pass(&self, time: &str, tables: &[&str]) {
        let tables: Vec<String> = tables.iter().copied().map(str::to_owned).collect();
        let updates: Vec<String> = sqlx::query_scalar(
            "SELECT format('UPDATE %s SET %s', t,
                           string_agg(format('%1$I = %1$I - %2$L::interval', a.attname, $2), ', '))
             FROM unnest($1) t JOIN pg_attribute a ON a.attrelid = t::regclass
             WHERE a.atttypid = 'timestamptz'::regtype AND a.attnum > 0 AND NOT a.attisdropped
             GROUP BY t",
        )
        .bind(tables)
        .bind(time)
        .fetch_all(&self.pool)
        .await
        .expect("cannot list the times of the tables");
        for update in updates {
            sqlx::query(AssertSqlSafe(update))
                .execute(&self.pool)
                .await
                .expect("cannot change the times of a table");
        }
    }

    /// Executes `ALTER DATABASE` with `change`, such as `CONNECTION LIMIT 0`. The connection is
    /// one to another database, which the change does not affect.
    ///
    /// # Panics
    /// The server refuses the change.
    #[expect(
        clippy::expect_used,
        reason = "a test cannot go on without its database"
    )]
    pub async fn alter(&self, change: &str) {
        let mut connection = self
            .server
            .connect()
            .await
            .expect("cannot reach the test server");
        let statement = format!("ALTER DATABASE {} {change}", self.name);
        execute(&mut connection, statement)
            .await
            .expect("cannot change the test database");
    }
}

/// How long a test waits until its database is dropped. The thread that waits may be the only
/// one of the test's runtime. A connection that the runtime is just opening then makes no
/// progress, and `DROP DATABASE` waits for it for up to a minute, until PostgreSQL closes it.
const DROP_TIMEOUT: Duration = Duration::from_millis(500);

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let server = self.server.clone();
        let drop_it = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropped = crate::run_in_thread(async move {
            if let Ok(mut connection) = server.connect().await {
                let _ = execute(&mut connection, drop_it).await;
            }
        });
        let _ = dropped.recv_timeout(DROP_TIMEOUT);
    }
}

async fn connect(server: &str) -> anyhow::Result<(PgConnectOptions, PgConnection)> {
    let server = PgConnectOptions::from_str(server)?.disable_statement_logging();
    let connection = server.connect().await?;
    Ok((server, connection))
}

/// Creates the template if it does not exist and returns its name. The name contains a hash of
/// the migrations, so that a running server gets a new template after a change of a migration.
async fn ensure_template(
    connection: &mut PgConnection,
    server: &PgConnectOptions,
) -> anyhow::Result<String> {
    let checksums: Vec<u8> = latchkey_migrations::MIGRATOR
        .iter()
        .flat_map(|migration| migration.checksum.iter().copied())
        .collect();
    let name = format!(
        "template_{}",
        Uuid::new_v5(&Uuid::NAMESPACE_OID, &checksums).simple()
    );
    if exists(connection, &name).await? {
        return Ok(name);
    }
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *connection)
        .await?;
    if !exists(connection, &name).await? {
        // It has another name until it is complete.
        execute(
            connection,
            "DROP DATABASE IF EXISTS template_unfinished".into(),
        )
        .await?;
        execute(connection, "CREATE DATABASE template_unfinished".into()).await?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(server.clone().database("template_unfinished"))
            .await?;
        latchkey_migrations::run(&pool).await?;
        pool.close().await;
        create_logins(connection).await?;
        execute(
            connection,
            format!("ALTER DATABASE template_unfinished RENAME TO {name}"),
        )
        .await?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *connection)
        .await?;
    Ok(name)
}

async fn exists(connection: &mut PgConnection, database: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(connection)
        .await
}

/// Creates a login role for each group role with its name as the password.
async fn create_logins(connection: &mut PgConnection) -> sqlx::Result<()> {
    for (login, group) in Role::LOGINS {
        let there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                .bind(login)
                .fetch_one(&mut *connection)
                .await?;
        if !there {
            execute(
                connection,
                format!("CREATE ROLE {login} LOGIN PASSWORD '{login}' IN ROLE {group}"),
            )
            .await?;
        }
    }
    Ok(())
}

/// Executes a statement without parameters. The names in it are generated in this module.
async fn execute(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map(|_| ())
}
