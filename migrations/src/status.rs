//! Which migrations are applied.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::MIGRATOR;

/// A migration of this release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Its version, the beginning of its file's name.
    pub version: i64,
    /// What it does.
    pub description: String,
    /// Whether the database has it completely.
    pub applied: bool,
}

/// Which migrations of this release are applied, and which others are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The migrations of this release, the oldest first.
    pub known: Vec<MigrationState>,
    /// Versions that are applied and that this release does not know: the schema is newer.
    pub unknown: Vec<i64>,
}

impl Status {
    /// Returns the migrations of this release that are not applied, the oldest first.
    pub fn missing(&self) -> impl Iterator<Item = &MigrationState> {
        self.known.iter().filter(|state| !state.applied)
    }
}

/// Why it is not known which migrations are applied.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The role cannot read which migrations are applied. Before the migration that lets it, that
    /// is always so.
    #[error(
        "the database is not migrated yet, or the role of DATABASE_URL is in none of \
         latchkey_auth, latchkey_sync, latchkey_refresh and latchkey_operator"
    )]
    Unreadable,
    /// The database reports an error.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl StatusError {
    fn of(error: sqlx::Error) -> Self {
        // undefined_table, insufficient_privilege
        let unreadable = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| matches!(&*code, "42P01" | "42501"));
        if unreadable {
            Self::Unreadable
        } else {
            Self::Database(error)
        }
    }
}

/// Reads which migrations are applied, with the role of a service, an operator or the owner.
///
/// # Errors
/// The role may not read it, or the database fails.
pub async fn status(connection: &mut PgConnection) -> Result<Status, StatusError> {
    let rows: Vec<(i64, bool)> = sqlx::query_as("SELECT version, success FROM _sqlx_migrations")
        .fetch_all(connection)
        .await
        .map_err(StatusError::of)?;
    let mut applied: BTreeMap<i64, bool> = rows.into_iter().collect();
    let known = MIGRATOR.iter().map(|migration| MigrationState {
        version: migration.version,
        description: migration.description.to_string(),
        applied: applied.remove(&migration.version) == Some(true),
    });
    Ok(Status {
        known: known.collect(),
        unknown: applied.into_keys().collect(),
    })
}
