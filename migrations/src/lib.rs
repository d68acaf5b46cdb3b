//! Latchkey's database: one schema and one role per service, and the
//! compatibility views.
//!
//! The SQL is embedded, so a migration needs nothing but this crate.

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

/// Every migration, oldest first.
pub static MIGRATOR: Migrator = sqlx::migrate!("./sql");

/// Brings a database to the newest schema. Several callers at once are safe:
/// an advisory lock lets one work and the others wait.
///
/// # Errors
/// The database's refusal, or a migration that was changed after it ran.
pub async fn run(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATOR.run(pool).await
}
