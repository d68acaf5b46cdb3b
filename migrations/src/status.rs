//! Which migrations are applied.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::{MIGRATOR, NotReady};

/// A migration of this release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Its version, the beginning of its file's name.
    pub version: i64,
    /// What it does.
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Returns the migrations of this release, the oldest first.
///
/// # Errors
/// The database is not migrated at all, the role may not read which migrations are applied, or the
/// database failed.
pub async fn status(connection: &mut PgConnection) -> Result<Vec<MigrationState>, NotReady> {
    let applied: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(connection)
            .await
            .map_err(NotReady::of_query)?;
    let applied: BTreeSet<i64> = applied.into_iter().collect();
    let state = MIGRATOR.iter().map(|migration| MigrationState {
        version: migration.version,
        description: migration.description.to_string(),
        applied: applied.contains(&migration.version),
    });
    Ok(state.collect())
}
