//! Fills a database with accounts.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

use anyhow::Context as _;
use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use latchkey_servers::Progress;

/// Disk space that one account takes, with all of its rows and indexes, in bytes. The tokens of the
/// filled rows are 640 and 320 bytes long.
pub const BYTES_PER_ACCOUNT: u64 = 7_000;

const FUNCTIONS: &str = include_str!("../sql/functions.sql");
const ACCOUNTS: &str = include_str!("../sql/accounts.sql");

/// Accounts that are inserted in one transaction.
const BATCH: usize = 100_000;

/// Inserts the accounts with these numbers, and updates the statistics of the planner. `url` is
/// that of the superuser. The tokens name the sealing key `key_id`.
///
/// # Errors
/// The database fails.
pub async fn fill(
    url: &str,
    key_id: &str,
    accounts: RangeInclusive<u64>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let functions = FUNCTIONS.replace(":header", &header(key_id)?);
    let last = *accounts.end();
    let filled = AtomicU64::new(accounts.start() - 1);
    let begins = Mutex::new(accounts.step_by(BATCH));
    let next = || begins.lock().map_or(None, |mut begins| begins.next());
    // PostgreSQL uses one processor for each connection.
    let fillers = (0..available_parallelism()?.get()).map(|_| async {
        let mut connection = PgConnection::connect(url).await?;
        let functions = AssertSqlSafe(functions.clone());
        sqlx::raw_sql(functions).execute(&mut connection).await?;
        while let Some(begin) = next() {
            let end = last.min(begin.saturating_add(BATCH as u64 - 1));
            let rows = ACCOUNTS
                .replace(":first", &begin.to_string())
                .replace(":last", &end.to_string());
            sqlx::raw_sql(AssertSqlSafe(rows))
                .execute(&mut connection)
                .await
                .with_context(|| format!("the accounts {begin} to {end} cannot be inserted"))?;
            let number = end + 1 - begin;
            let filled = filled.fetch_add(number, Ordering::Relaxed) + number;
            if last > BATCH as u64 {
                progress(&format!("{filled} accounts of {last}"));
            }
        }
        connection.close().await?;
        anyhow::Ok(())
    });
    try_join_all(fillers).await?;
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("VACUUM (ANALYZE)")
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// The first bytes of an envelope in hexadecimal: version, length of the key id, key id.
fn header(key_id: &str) -> anyhow::Result<String> {
    let length = u8::try_from(key_id.len()).context("the key id is too long")?;
    let mut header = format!("01{length:02x}");
    for byte in key_id.bytes() {
        write!(header, "{byte:02x}")?;
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_begins_with_version_length_and_key_id() {
        assert_eq!(header("fill").unwrap(), "010466696c6c");
        assert!(header(&"k".repeat(256)).is_err());
    }
}
