//! Fail-overs between two servers of PostgreSQL.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::Postgres;
use sqlx::{Connection as _, PgConnection};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::command_timeout::COMMAND_TIMEOUT;
use super::database::{execute, start_again};
use crate::environment::{Environment, wait_for_standby};
use crate::fault::Loss;

/// How often the old primary is rewound: its processes may still be ending.
const REWINDS: usize = 10;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a commit of the old primary is waited for.
const NO_COMMIT: Duration = Duration::from_secs(1);

/// Loses the primary. The services reach nothing until [`fail_over`].
pub(super) fn lose_primary(environment: &mut Environment, loss: Loss) -> anyhow::Result<()> {
    anyhow::ensure!(environment.standby.is_some(), "there is no standby");
    let primary = &mut environment.stack.servers.postgres;
    match loss {
        Loss::Killed => block_in_place(|| primary.kill()),
        Loss::Stopped => block_in_place(|| primary.stop()),
        Loss::Paused => primary.pause(),
    }
    Ok(())
}

/// Leads everybody to the standby, promotes it, and makes the old primary its standby.
pub(super) async fn fail_over(environment: &mut Environment, loss: Loss) -> anyhow::Result<()> {
    let standby = environment.standby.take().context("there is no standby")?;
    // First nobody reaches the old primary any more: it may still take writes.
    environment.lead_to(standby.address());
    let mut old = std::mem::replace(&mut environment.stack.servers.postgres, standby);
    let promoted = block_in_place(|| environment.stack.servers.postgres.promote());
    if loss == Loss::Paused {
        old.unpause();
    }
    promoted?;
    // The new primary has no standby yet, and its commits would wait for one. The checkpoint tells
    // `pg_rewind` the new timeline.
    let alone = [
        "ALTER SYSTEM RESET synchronous_standby_names",
        "SELECT pg_reload_conf()",
        "CHECKPOINT",
    ];
    execute(environment, &alone).await?;
    if loss == Loss::Paused {
        commits_nothing(&old).await?;
        leads_to_the_primary(environment).await?;
    }
    block_in_place(|| old.kill());
    rewind(&old, &environment.stack.servers.postgres).await?;
    let resumed = old.resume().await;
    environment.standby = Some(old);
    resumed.context("the old primary does not start as standby")?;
    wait_for_standby(environment.pool()).await
}

/// The old primary takes writes, and confirms none: its standby confirms nothing to it any more.
async fn commits_nothing(old: &Postgres) -> anyhow::Result<()> {
    let committed = timeout(NO_COMMIT, async {
        let mut connection = PgConnection::connect(&old.url("latchkey")).await?;
        sqlx::query("CREATE TABLE faults.second_writer ()")
            .execute(&mut connection)
            .await
    })
    .await;
    anyhow::ensure!(
        !matches!(committed, Ok(Ok(_))),
        "the old primary confirmed a commit after the promotion of its standby"
    );
    Ok(())
}

/// No way of a service leads to the old primary.
async fn leads_to_the_primary(environment: &Environment) -> anyhow::Result<()> {
    let primary = i32::from(environment.stack.servers.postgres.port());
    for url in environment.ways_to_the_database() {
        let reached: i32 = timeout(COMMAND_TIMEOUT, async {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query_scalar("SELECT inet_server_port()")
                .fetch_one(&mut connection)
                .await
        })
        .await
        .context("PostgreSQL does not answer")??;
        anyhow::ensure!(
            reached == primary,
            "a service still reaches the old primary"
        );
    }
    Ok(())
}

async fn rewind(old: &Postgres, primary: &Postgres) -> anyhow::Result<()> {
    let mut rewound = block_in_place(|| old.rewind(primary));
    for _ in 1..REWINDS {
        if rewound.is_ok() {
            break;
        }
        sleep(PAUSE).await;
        rewound = block_in_place(|| old.rewind(primary));
    }
    rewound.context("the old primary cannot follow the new one")
}

/// Kills the standby. Commits wait until it is there again.
pub(super) fn kill_standby(environment: &mut Environment) -> anyhow::Result<()> {
    let standby = environment.standby.as_mut();
    let standby = standby.context("there is no standby")?;
    block_in_place(|| standby.kill());
    Ok(())
}

/// Starts the standby again, and waits until it has everything.
pub(super) async fn resume_standby(environment: &mut Environment) -> anyhow::Result<()> {
    let standby = environment.standby.as_mut();
    let standby = standby.context("there is no standby")?;
    let started = start_again(standby).await;
    started.context("the standby does not start")?;
    wait_for_standby(environment.pool()).await
}
