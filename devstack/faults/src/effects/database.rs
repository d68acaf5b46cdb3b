//! Faults of PostgreSQL.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::command_timeout::COMMAND_TIMEOUT;
use crate::environment::Environment;

/// How often a start is tried: processes of a server that was killed may still be ending.
const STARTS: usize = 5;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn kill(environment: &mut Environment) {
    block_in_place(|| environment.stack.servers.postgres.kill());
}

pub(super) fn stop(environment: &mut Environment) {
    block_in_place(|| environment.stack.servers.postgres.stop());
}

pub(super) async fn resume(environment: &mut Environment) -> anyhow::Result<()> {
    let postgres = &mut environment.stack.servers.postgres;
    let mut started = postgres.resume().await;
    for _ in 1..STARTS {
        if started.is_ok() {
            break;
        }
        sleep(PAUSE).await;
        started = postgres.resume().await;
    }
    started.context("PostgreSQL does not start again")
}

pub(super) async fn terminate(environment: &mut Environment) -> anyhow::Result<()> {
    execute(
        environment,
        &["SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE usename IN ('auth_svc', 'sync_svc', 'refresh_svc')"],
    )
    .await
}

pub(super) async fn set_read_only(
    environment: &mut Environment,
    read_only: bool,
) -> anyhow::Result<()> {
    let set = if read_only {
        "ALTER SYSTEM SET default_transaction_read_only = on"
    } else {
        "ALTER SYSTEM RESET default_transaction_read_only"
    };
    execute(environment, &[set, "SELECT pg_reload_conf()"]).await
}

/// Executes statements on a connection of their own, because a fault may have ended any other.
async fn execute(environment: &Environment, statements: &[&'static str]) -> anyhow::Result<()> {
    let url = environment.stack.database().url();
    timeout(COMMAND_TIMEOUT, async {
        let mut connection = PgConnection::connect(url).await?;
        for statement in statements {
            sqlx::raw_sql(*statement).execute(&mut connection).await?;
        }
        connection.close().await
    })
    .await
    .context("PostgreSQL does not answer")?
    .context("a statement of a fault failed")
}
