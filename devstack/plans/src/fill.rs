//! Fills a database with accounts.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use latchkey_servers::Progress;

/// Disk space that one account takes, with all of its rows and indexes, in bytes. The tokens of the
/// filled rows are 640 and 320 bytes long.
pub const BYTES_PER_ACCOUNT: u64 = 7_000;

const FUNCTIONS: &str = include_str!("../sql/functions.sql");
const ACCOUNTS: &str = include_str!("../sql/accounts.sql");

/// Accounts that are inserted in one transaction.
const BATCH: u64 = 100_000;

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
    let mut connection = PgConnection::connect(url).await?;
    let functions = FUNCTIONS.replace(":header", &header(key_id)?);
    sqlx::raw_sql(AssertSqlSafe(functions))
        .execute(&mut connection)
        .await?;
    let (mut next, last) = accounts.into_inner();
    while next <= last {
        let end = last.min(next.saturating_add(BATCH - 1));
        let rows = ACCOUNTS
            .replace(":first", &next.to_string())
            .replace(":last", &end.to_string());
        sqlx::raw_sql(AssertSqlSafe(rows))
            .execute(&mut connection)
            .await
            .with_context(|| format!("the accounts {next} to {end} cannot be inserted"))?;
        if last > BATCH {
            progress(&format!("{end} accounts of {last}"));
        }
        next = end + 1;
    }
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
