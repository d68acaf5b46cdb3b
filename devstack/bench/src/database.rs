//! The database of a benchmark.

use latchkey_servers::Postgres;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// Name of the database.
pub const NAME: &str = "latchkey";

/// Creates it and applies the migrations. The pool has at most `connections` connections.
pub async fn create(postgres: &Postgres, connections: u32) -> anyhow::Result<PgPool> {
    let maintenance = PgPool::connect(&postgres.url("postgres")).await?;
    sqlx::query("CREATE DATABASE latchkey")
        .execute(&maintenance)
        .await?;
    maintenance.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .connect(&postgres.url(NAME))
        .await?;
    latchkey_migrations::run(&pool).await?;
    Ok(pool)
}
