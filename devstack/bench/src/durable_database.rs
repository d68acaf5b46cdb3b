//! A private PostgreSQL that flushes each commit to disk.

use std::path::Path;

use latchkey_servers::Postgres;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// Starts it and applies the migrations. The pool has at most `connections` connections.
pub async fn start(directory: &Path, connections: u32) -> anyhow::Result<(Postgres, PgPool)> {
    let postgres = Postgres::start_durable(directory).await?;
    let maintenance = PgPool::connect(&postgres.url("postgres")).await?;
    sqlx::query("CREATE DATABASE latchkey")
        .execute(&maintenance)
        .await?;
    maintenance.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .connect(&postgres.url("latchkey"))
        .await?;
    latchkey_migrations::run(&pool).await?;
    Ok((postgres, pool))
}
