//! The table of the results.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::load::Outcomes;
use super::people::handle;

/// The result of one test.
#[derive(Debug)]
pub(super) struct Row {
    name: &'static str,
    load: String,
    failed: usize,
    /// People who signed in and have no account.
    lost: usize,
    /// People with more than one account.
    doubled: usize,
    longest_gap: Duration,
    /// What went wrong, in words.
    pub problems: Vec<String>,
}

impl Row {
    /// Waits until every person who signed in has an account, at most `limit`, and counts.
    pub(super) async fn new(
        name: &'static str,
        outcomes: Outcomes,
        change: Option<anyhow::Error>,
        pool: &PgPool,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let handles: Vec<String> = outcomes.signed_in.iter().map(|one| handle(one)).collect();
        let begun = Instant::now();
        let (lost, doubled) = loop {
            let (lost, doubled) = count(pool, &handles).await?;
            if lost == 0 || begun.elapsed() > limit {
                break (lost, doubled);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let Outcomes {
            sign_ins,
            token_calls,
            ..
        } = outcomes;
        let change = change.map(|error| format!("{error:#}"));
        let errors = [("sign-in", &sign_ins), ("token", &token_calls)];
        let errors = errors.into_iter().flat_map(|(kind, outcome)| {
            let texts = outcome.errors.iter();
            texts.map(move |text| format!("{kind}: {text}"))
        });
        let problems = change.into_iter().chain(errors).collect();
        Ok(Self {
            name,
            load: format!("{} sign-ins, {} calls", sign_ins.calls, token_calls.calls),
            failed: sign_ins.failed + token_calls.failed,
            lost,
            doubled,
            longest_gap: sign_ins.longest_gap.max(token_calls.longest_gap),
            problems,
        })
    }

    fn is_green(&self) -> bool {
        self.failed + self.lost + self.doubled == 0 && self.problems.is_empty()
    }
}

/// Returns how many of the people have no account, and how many have more than one.
async fn count(pool: &PgPool, handles: &[String]) -> sqlx::Result<(usize, usize)> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        r#"SELECT handle, count(*) FROM "connectedAccount"
           WHERE handle = ANY($1) GROUP BY handle"#,
    )
    .bind(handles)
    .fetch_all(pool)
    .await?;
    let accounts: HashMap<String, i64> = rows.into_iter().collect();
    let lost = handles.iter().filter(|one| !accounts.contains_key(*one));
    let doubled = accounts.values().filter(|count| **count > 1);
    Ok((lost.count(), doubled.count()))
}

/// The results of all tests.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Row>);

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(super) fn is_green(&self) -> bool {
        self.0.iter().all(Row::is_green)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<44} {:<30} {:>6} {:>5} {:>8} {:>12}",
            "test", "load", "failed", "lost", "doubled", "longest gap"
        )?;
        for row in &self.0 {
            let verdict = if row.is_green() { "" } else { "  FAILED" };
            writeln!(
                f,
                "{:<44} {:<30} {:>6} {:>5} {:>8} {:>9} ms{verdict}",
                row.name,
                row.load,
                row.failed,
                row.lost,
                row.doubled,
                row.longest_gap.as_millis()
            )?;
        }
        Ok(())
    }
}
