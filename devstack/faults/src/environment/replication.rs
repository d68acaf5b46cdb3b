//! A standby that has every confirmed commit.

use std::time::Duration;

use devstack::polling::eventually;
use sqlx::{Connection as _, PgConnection, PgPool};

/// How long a standby may take to receive what it does not have yet.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Lets each commit wait for the standby from now on, and waits until the standby has everything.
///
/// # Errors
/// The standby does not come, or the database fails.
pub async fn wait_for_standby(pool: &PgPool) -> anyhow::Result<()> {
    for statement in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }
    // Commits wait only once the checkpointer has read the setting. It has been told when a new
    // connection has the setting, and reads it before it makes a checkpoint that is requested then.
    let options = pool.connect_options();
    eventually(TIMEOUT, "the setting of the standby", async || {
        let mut connection = PgConnection::connect_with(&options).await?;
        let names: String = sqlx::query_scalar("SHOW synchronous_standby_names")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok((names == "*").then_some(()))
    })
    .await?;
    sqlx::raw_sql("CHECKPOINT").execute(pool).await?;
    eventually(TIMEOUT, "a standby that is synchronous", async || {
        let is_there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_replication
                            WHERE state = 'streaming' AND sync_state = 'sync')",
        )
        .fetch_one(pool)
        .await?;
        Ok(is_there.then_some(()))
    })
    .await?;
    // A commit whose wait was ended by a time limit is confirmed and was on one server only.
    let written: String = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text")
        .fetch_one(pool)
        .await?;
    eventually(TIMEOUT, "a standby that has everything", async || {
        let has_everything: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE flush_lsn >= $1::text::pg_lsn)",
        )
        .bind(written.as_str())
        .fetch_one(pool)
        .await?;
        Ok(has_everything.then_some(()))
    })
    .await
}
