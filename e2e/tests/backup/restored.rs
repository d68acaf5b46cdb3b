//! Saves the database of a stack, and restores it into empty servers as `docs/operate.md` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use devstack::servers::Servers;
use devstack::{Options, ServiceId, Stack};
use latchkey_servers::{Postgres, silent};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;
use uuid::Uuid;

/// Each service with its login role, and with the group role that has the privileges.
const SERVICES: [(ServiceId, &str, &str); 3] = [
    (ServiceId::Auth, "auth_svc", "latchkey_auth"),
    (ServiceId::Sync, "sync_svc", "latchkey_sync"),
    (ServiceId::Refresh(0), "refresh_svc", "latchkey_refresh"),
];

const DATABASE: &str = "latchkey";

/// Starts a stack, and the empty servers that will replace its own.
pub async fn start() -> anyhow::Result<(Servers, Stack)> {
    let empty = async { anyhow::Ok(Servers::start("e2e", &silent()).await?) };
    // Boxed to keep the future of this function small.
    let stack = Box::pin(Stack::start(Options::test()));
    tokio::try_join!(empty, stack)
}

/// Saves the database of a running stack and returns the path of the dump.
pub async fn save(stack: &Stack) -> anyhow::Result<PathBuf> {
    let dump = stack.directory().join("latchkey.dump");
    let mut command = Command::new(stack.servers.postgres.program("pg_dump"));
    command
        .args(["--format=custom", "--file"])
        .arg(&dump)
        .arg(stack.database().url());
    run_to_end(command).await?;
    Ok(dump)
}

/// Kills the services and the servers of a stack, and restores the dump into the empty servers.
/// The services will use these at their next start, with the keys that they had. Returns
/// connections of the superuser to the restored database.
pub async fn replace_servers(
    stack: &mut Stack,
    empty: &Servers,
    dump: &Path,
) -> anyhow::Result<PgPool> {
    for (service, ..) in SERVICES {
        stack.service(service)?.kill();
    }
    stack.servers.postgres.kill();
    stack.servers.rabbitmq.kill();
    for (service, url) in restore(&empty.postgres, dump).await? {
        let service = stack.service(service)?;
        service.set("DATABASE_URL", url);
        service.set("AMQP_URL", empty.rabbitmq.url());
    }
    Ok(PgPool::connect(&empty.postgres.url(DATABASE)).await?)
}

/// Starts the services and waits until they are ready.
pub async fn start_services(stack: &mut Stack) -> anyhow::Result<()> {
    for (service, ..) in SERVICES {
        stack.service(service)?.launch()?;
    }
    for (service, ..) in SERVICES {
        stack.service(service)?.wait_ready().await?;
    }
    Ok(())
}

/// Returns the lines with this message in the log of a service.
pub fn logged(stack: &mut Stack, service: ServiceId, message: &str) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(stack.service(service)?.log())?;
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["message"] == message).collect())
}

/// Creates the database, the roles with new passwords, and what is in the dump. Its owner is no
/// superuser. Returns the URL of each service.
async fn restore(server: &Postgres, dump: &Path) -> anyhow::Result<BTreeMap<ServiceId, String>> {
    let password = Uuid::new_v4().simple().to_string();
    let superuser = PgPool::connect(&server.url("postgres")).await?;
    for statement in [
        format!("CREATE ROLE latchkey LOGIN CREATEROLE PASSWORD '{password}'"),
        format!("CREATE DATABASE {DATABASE} OWNER latchkey"),
    ] {
        execute(&superuser, statement).await?;
    }
    superuser.close().await;

    let owner_url = server.url_as("latchkey", &password, DATABASE);
    let owner = PgPool::connect(&owner_url).await?;
    execute(&owner, "CREATE ROLE latchkey_operator NOLOGIN".to_owned()).await?;
    let mut urls = BTreeMap::new();
    for (service, login, group) in SERVICES {
        execute(&owner, format!("CREATE ROLE {group} NOLOGIN")).await?;
        let create = format!("CREATE ROLE {login} LOGIN PASSWORD '{password}' IN ROLE {group}");
        execute(&owner, create).await?;
        urls.insert(service, server.url_as(login, &password, DATABASE));
    }
    owner.close().await;

    let mut command = Command::new(server.program("pg_restore"));
    command
        .arg(format!("--dbname={owner_url}"))
        .args(["--no-owner", "--single-transaction"])
        .arg(dump);
    run_to_end(command).await?;
    Ok(urls)
}

async fn execute(pool: &PgPool, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .map(|_| ())
}

async fn run_to_end(mut command: Command) -> anyhow::Result<()> {
    let output = command.output().await?;
    let problem = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{problem}");
    Ok(())
}
