//! The table of the results.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::time::{Duration, Instant};

use latchkey_servers::Progress;
use sqlx::PgPool;

use super::case::{Case, Expected};
use super::load::Outcomes;
use super::people::handle;

/// The result of one test.
#[derive(Debug)]
pub(super) struct Row {
    name: &'static str,
    load: String,
    counts: Option<Counts>,
    expected: Expected,
    /// Whether the change itself succeeded.
    is_complete: bool,
    /// What went wrong, in words.
    problems: Vec<String>,
}

/// What happened to the load.
#[derive(Debug)]
struct Counts {
    /// Whether there was load of both kinds, as much as planned unless calls must fail.
    has_load: bool,
    failed: usize,
    /// Requests that were sent again on another connection.
    repeated: usize,
    /// People who signed in and have no account.
    lost: usize,
    /// People with more than one account.
    doubled: usize,
    longest_gap: Duration,
}

impl Row {
    /// Returns the row of a test without load.
    pub(super) fn without_load(name: &'static str, load: String, problems: Vec<String>) -> Self {
        Self {
            name,
            load,
            counts: None,
            expected: Expected::None,
            is_complete: problems.is_empty(),
            problems,
        }
    }

    /// Returns the row of a test that an error ended.
    pub(super) fn failed(name: &'static str, error: &anyhow::Error) -> Self {
        Self::without_load(name, String::new(), vec![format!("{error:#}")])
    }

    /// Returns the row of a test that does not apply, such as an upgrade without a previous release.
    pub(super) fn left_out(name: &'static str, why: &str) -> Self {
        Self::without_load(name, why.to_owned(), Vec::new())
    }

    /// Waits until every person who signed in has an account, at most `limit`, and counts.
    pub(super) async fn count(
        case: &Case,
        outcomes: Outcomes,
        change: Option<anyhow::Error>,
        pool: &PgPool,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let handles: Vec<String> = outcomes.signed_in.iter().map(|one| handle(one)).collect();
        let begun = Instant::now();
        let (lost, doubled) = loop {
            let counted = count(pool, &handles).await;
            let is_settled = counted.as_ref().is_ok_and(|(lost, _)| *lost == 0);
            if is_settled || begun.elapsed() > limit {
                break counted?;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let Outcomes {
            sign_ins,
            token_calls,
            ..
        } = outcomes;
        let is_complete = change.is_none();
        let change = change.map(|error| format!("{error:#}"));
        let kinds = [("sign-in", &sign_ins), ("token", &token_calls)];
        let errors = kinds.into_iter().flat_map(|(kind, outcome)| {
            let texts = outcome.errors.iter();
            texts.map(move |text| format!("{kind}: {text}"))
        });
        let has_load = kinds.iter().all(|(_, outcome)| match case.load {
            Expected::Succeed => outcome.is_at_rate(),
            Expected::Fail | Expected::None => outcome.calls > 0,
        });
        let too_few = (!has_load).then(|| {
            format!(
                "too little load: {} sign-ins and {} calls were planned",
                sign_ins.planned, token_calls.planned
            )
        });
        Ok(Self {
            name: case.name,
            load: format!("{} sign-ins, {} calls", sign_ins.calls, token_calls.calls),
            expected: case.load,
            is_complete,
            problems: change.into_iter().chain(too_few).chain(errors).collect(),
            counts: Some(Counts {
                has_load,
                failed: sign_ins.failed + token_calls.failed,
                repeated: sign_ins.repeated + token_calls.repeated,
                lost,
                doubled,
                longest_gap: sign_ins.longest_gap.max(token_calls.longest_gap),
            }),
        })
    }

    /// Returns `true` if the change itself succeeded.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn is_green(&self) -> bool {
        let counts_are_green = self.counts.as_ref().is_none_or(|counts| {
            let is_expected = match self.expected {
                Expected::Fail => counts.failed > 0,
                Expected::Succeed | Expected::None => {
                    counts.failed + counts.lost + counts.doubled == 0
                }
            };
            counts.has_load && is_expected
        });
        self.is_complete && counts_are_green
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

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44} {:<28}", self.name, self.load)?;
        if let Some(counts) = &self.counts {
            let Counts {
                has_load: _,
                failed,
                repeated,
                lost,
                doubled,
                longest_gap,
            } = counts;
            let gap = longest_gap.as_millis();
            write!(
                f,
                " {failed:>6} {repeated:>8} {lost:>5} {doubled:>8} {gap:>9} ms"
            )?;
        }
        f.write_str(if self.is_green() { "" } else { "  FAILED" })
    }
}

/// The results of all tests. The table is printed when this value is dropped: after the last test,
/// and also if an error or Ctrl-C ends the command.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Row>);

impl Report {
    /// Adds a result, and prints it with what went wrong.
    pub(super) fn add(&mut self, row: Row, progress: &Progress) {
        for problem in &row.problems {
            progress(&format!("  {problem}"));
        }
        progress(&format!("  {row}"));
        self.0.push(row);
    }

    pub(super) fn is_green(&self) -> bool {
        self.0.iter().all(Row::is_green)
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let _ = write!(std::io::stdout(), "\n{self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<44} {:<28} {:>6} {:>8} {:>5} {:>8} {:>12}",
            "test", "load", "failed", "repeated", "lost", "doubled", "longest gap"
        )?;
        for row in &self.0 {
            writeln!(f, "{row}")?;
            if row.is_green() {
                continue;
            }
            for problem in &row.problems {
                let line = problem.lines().next().unwrap_or_default();
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_result_and_turns_the_report_red() {
        let mut report = Report::default();
        let progress = latchkey_servers::silent();
        report.add(Row::left_out("one", "no previous release"), &progress);
        assert!(report.is_green());
        let error = anyhow::anyhow!("refused\nmore").context("the load cannot start");
        report.add(Row::failed("two", &error), &progress);
        assert!(!report.is_green());
        let table = report.to_string();
        let lines: Vec<&str> = table.lines().skip(1).collect();
        let [one, two, problem] = lines.as_slice() else {
            panic!("{table}");
        };
        assert!(one.contains("no previous release") && !one.contains("FAILED"));
        assert!(two.starts_with("two") && two.ends_with("FAILED"));
        assert_eq!(problem.trim(), "the load cannot start: refused");
    }
}
