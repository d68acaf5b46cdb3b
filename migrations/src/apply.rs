//! Applies migrations beside running services: no statement of a service waits longer than
//! [`LOCK_TIMEOUT`] behind a migration that waits for a lock.

use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::time::{Instant, sleep};

use crate::MIGRATOR;

/// How long a statement of a migration waits for a lock. Every statement that needs the table waits
/// behind it, so it is less than the 5 s after which those of the services fail. Then it lets them
/// go first and is tried again.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// A migration that gets no lock is given up after this time.
const PATIENCE: Duration = Duration::from_mins(10);

/// Between two attempts, and between two looks whether another migrator has ended.
const PAUSE: Duration = Duration::from_secs(1);

/// Why migrations are not applied yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Another program migrates this database.
    OtherMigrator,
    /// A long transaction uses a table that a migration changes.
    Lock,
}

/// Migrates a database to the newest schema: see [`run_reporting`].
///
/// # Errors
/// Those of [`run_reporting`].
pub async fn run(pool: &PgPool) -> Result<(), MigrateError> {
    run_reporting(pool, |_| ()).await
}

/// Migrates a database to the newest schema beside running services. Concurrent callers wait for
/// each other. `waiting` is called when the wait for something begins.
///
/// # Errors
/// The database failed, a lock could not be acquired within ten minutes, or a migration was changed after
/// it was applied. What was applied before stays applied.
pub async fn run_reporting(pool: &PgPool, waiting: impl Fn(Waiting)) -> Result<(), MigrateError> {
    let mut alone = pool.acquire().await?.detach();
    lock_out_others(&mut alone, &waiting).await?;
    let outcome = apply_all(pool, &mut alone, &waiting).await;
    // The end of the connection releases the lock, so it does not matter how it ends.
    let _ = alone.close().await;
    outcome
}

/// Waits until no other migrator runs. sqlx has a lock too, but waits for it within a statement:
/// an index that is built concurrently would wait for this statement, and both for ever.
async fn lock_out_others(
    connection: &mut PgConnection,
    waiting: &impl Fn(Waiting),
) -> Result<(), sqlx::Error> {
    let mut is_reported = false;
    loop {
        let is_alone: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_lock(hashtextextended('latchkey-migrate', 0))",
        )
        .fetch_one(&mut *connection)
        .await?;
        if is_alone {
            return Ok(());
        }
        if !is_reported {
            waiting(Waiting::OtherMigrator);
            is_reported = true;
        }
        sleep(PAUSE).await;
    }
}

/// Applies the migrations in order. One without a transaction builds an index concurrently: what
/// it waits for blocks nobody, and a time-out would leave an index that is not valid.
async fn apply_all(
    pool: &PgPool,
    alone: &mut PgConnection,
    waiting: &impl Fn(Waiting),
) -> Result<(), MigrateError> {
    let mut before = None;
    for migration in MIGRATOR.iter() {
        if migration.no_tx {
            if before.is_some() {
                apply_until(pool, before, waiting).await?;
            }
            if !is_applied(alone, migration.version).await? {
                drop_failed_indexes(alone).await?;
                apply(pool, Some(migration.version), Duration::ZERO).await?;
            }
        }
        before = Some(migration.version);
    }
    apply_until(pool, None, waiting).await
}

/// Applies the migrations until this version, or all. Tries again if there is no lock.
async fn apply_until(
    pool: &PgPool,
    version: Option<i64>,
    waiting: &impl Fn(Waiting),
) -> Result<(), MigrateError> {
    let end = Instant::now() + PATIENCE;
    let mut is_reported = false;
    loop {
        match apply(pool, version, LOCK_TIMEOUT).await {
            Err(error) if got_no_lock(&error) && Instant::now() < end => {}
            outcome => return outcome,
        }
        if !is_reported {
            waiting(Waiting::Lock);
            is_reported = true;
        }
        sleep(PAUSE).await;
    }
}

/// One attempt. Its own connection is closed in the end, because after a failure sqlx leaves its
/// lock to it.
async fn apply(
    pool: &PgPool,
    version: Option<i64>,
    lock_timeout: Duration,
) -> Result<(), MigrateError> {
    let own = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(move |connection, _| Box::pin(limit_locks(connection, lock_timeout)))
        .connect_with((*pool.connect_options()).clone())
        .await?;
    let outcome = match version {
        Some(version) => MIGRATOR.run_to(version, &own).await,
        None => MIGRATOR.run(&own).await,
    };
    own.close().await;
    outcome
}

/// Sets the time that a statement waits for a lock. Zero is no limit.
async fn limit_locks(connection: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(limit.as_millis().to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// Returns `true` if the migration is applied. sqlx has created its table for an earlier one.
async fn is_applied(connection: &mut PgConnection, version: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM _sqlx_migrations WHERE version = $1)")
        .bind(version)
        .fetch_one(connection)
        .await
}

/// Drops what a failed `CREATE INDEX CONCURRENTLY` left. No other migrator runs: see
/// [`lock_out_others`]. An index that somebody builds by hand is not valid either, and stays.
async fn drop_failed_indexes(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let failed: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname)
         FROM pg_index i
              JOIN pg_class c ON c.oid = i.indexrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname IN ('auth', 'sync', 'vault')
               AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p
                               WHERE p.index_relid = i.indexrelid)",
    )
    .fetch_all(&mut *connection)
    .await?;
    for index in failed {
        let statement = format!("DROP INDEX CONCURRENTLY {index}");
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Returns `true` if a lock was not acquired in time, or a deadlock was ended.
fn got_no_lock(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    // lock_not_available, deadlock_detected
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "55P03" | "40P01"))
}
