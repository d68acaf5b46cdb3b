//! Faults of PostgreSQL.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::{Postgres, Volume};
use sqlx::{Connection as _, PgConnection};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

use super::command_timeout::COMMAND_TIMEOUT;
use crate::environment::Environment;
use crate::fault::Conflict;

/// How often a start is tried: processes of a server that was killed may still be ending.
const STARTS: usize = 5;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_secs(1);
/// How many files of the write-ahead log are begun at most until there is no space for one.
const LOG_FILES: usize = 40;

pub(super) fn kill(environment: &mut Environment) {
    block_in_place(|| environment.stack.servers.postgres.kill());
}

pub(super) fn stop(environment: &mut Environment) {
    block_in_place(|| environment.stack.servers.postgres.stop());
}

pub(super) async fn resume(environment: &mut Environment) -> anyhow::Result<()> {
    start_again(&mut environment.stack.servers.postgres).await
}

/// Starts a server that was stopped or killed.
pub(super) async fn start_again(postgres: &mut Postgres) -> anyhow::Result<()> {
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

/// Fills a disk. That of the write-ahead log has files that are used again, so it is written until
/// PostgreSQL ends.
pub(super) async fn fill(environment: &mut Environment, volume: Volume) -> anyhow::Result<()> {
    environment.stack.servers.postgres.fill(volume)?;
    if volume == Volume::WriteAheadLog {
        for _ in 0..LOG_FILES {
            let written = execute(
                environment,
                &[
                    "SELECT pg_logical_emit_message(false, 'faults', 'x')",
                    "SELECT pg_switch_wal()",
                ],
            );
            if written.await.is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// Gives the space back, starts PostgreSQL again if it has ended, and waits until it answers.
pub(super) async fn free(environment: &mut Environment, volume: Volume) -> anyhow::Result<()> {
    environment.stack.servers.postgres.free(volume)?;
    let begun = Instant::now();
    loop {
        if !environment.stack.servers.postgres.is_running() {
            kill(environment);
            resume(environment).await?;
        }
        // It may be about to end: it starts itself again, and that may fail.
        let answer = execute(environment, &["SELECT 1"]).await;
        if answer.is_ok() || begun.elapsed() > COMMAND_TIMEOUT {
            return answer.context("PostgreSQL does not recover from a full disk");
        }
        sleep(PAUSE).await;
    }
}

/// Makes some statements and commits of the services fail; `None` ends it.
pub(super) async fn set_conflicts(
    environment: &mut Environment,
    conflict: Option<Conflict>,
) -> anyhow::Result<()> {
    let changed = sqlx::query("UPDATE faults.conflict SET code = $1")
        .bind(conflict.map(Conflict::code))
        .execute(environment.pool());
    timeout(COMMAND_TIMEOUT, changed)
        .await
        .context("PostgreSQL does not answer")??;
    Ok(())
}

/// Executes statements on a connection of their own, because a fault may have ended any other.
pub(super) async fn execute(
    environment: &Environment,
    statements: &[&'static str],
) -> anyhow::Result<()> {
    let url = environment.database_url();
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
