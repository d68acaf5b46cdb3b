//! `latchkey-migrate`: migrates the database of `DATABASE_URL` to the newest schema and
//! exits. A deployment runs it before its services.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Database to migrate, as a role that may create schemas and roles.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let pool = sqlx::PgPool::connect(&arguments.database_url)
        .await
        .context("cannot connect: check DATABASE_URL")?;
    latchkey_migrations::run(&pool).await?;
    // The migration succeeded even if the message cannot be written.
    let _ = writeln!(std::io::stderr(), "database is up to date");
    Ok(())
}
