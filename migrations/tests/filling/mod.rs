//! Tables that have rows while they are migrated.

use std::path::Path;

use latchkey_migrations::MIGRATOR;
use latchkey_testkit::TestDatabase;
use sqlx::AssertSqlSafe;

/// Applies the migrations one by one, up to this version, and inserts the rows of `filled/` into
/// the tables of each.
pub async fn migrate_while_filling(database: &TestDatabase, until: i64) {
    for migration in MIGRATOR.iter().filter(|one| one.version <= until) {
        MIGRATOR
            .run_to(migration.version, database.pool())
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", migration.description));
        let rows = Path::new("tests/filled").join(format!("{}.sql", migration.version));
        if let Ok(rows) = std::fs::read_to_string(rows) {
            sqlx::raw_sql(AssertSqlSafe(rows))
                .execute(database.pool())
                .await
                .unwrap();
        }
    }
}
