//! What was expected of each step, and what happened.

use std::fmt;

use latchkey_servers::Progress;

/// One step at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    server: &'static str,
    step: &'static str,
    expected: &'static str,
    happened: String,
    held: bool,
}

/// Every step.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

/// The table, open for one server.
pub(super) struct Rows<'a> {
    table: &'a mut Table,
    server: &'static str,
    progress: &'a Progress,
}

impl Table {
    pub(super) fn of<'a>(&'a mut self, server: &'static str, progress: &'a Progress) -> Rows<'a> {
        Rows {
            table: self,
            server,
            progress,
        }
    }

    /// Returns `true` if there are rows and every one held.
    pub(super) fn held(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.held)
    }
}

impl Rows<'_> {
    /// Takes a step: what happened, or why it is not what was expected.
    pub(super) fn add(
        &mut self,
        step: &'static str,
        expected: &'static str,
        outcome: anyhow::Result<String>,
    ) {
        let held = outcome.is_ok();
        let happened = outcome.unwrap_or_else(|error| format!("{error:#}"));
        // In one line, and short enough to read.
        let happened: String = happened
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(LONGEST)
            .collect();
        let mark = if held { "held" } else { "BROKE" };
        (self.progress)(&format!("{} · {step}: {mark}: {happened}", self.server));
        self.table.rows.push(Row {
            server: self.server,
            step,
            expected,
            happened,
            held,
        });
    }
}

/// Characters of a cell.
const LONGEST: usize = 300;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| server | step | expected | happened | |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &self.rows {
            let mark = if row.held { "held" } else { "**broke**" };
            writeln!(
                f,
                "| {} | {} | {} | {} | {mark} |",
                row.server,
                row.step,
                row.expected,
                row.happened.replace('|', "\\|")
            )?;
        }
        let held = self.rows.iter().filter(|row| row.held).count();
        writeln!(f, "\n{held} of {} rows held", self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_that_broke_breaks_the_table() {
        let progress = latchkey_servers::silent();
        let mut table = Table::default();
        assert!(!table.held(), "nothing was shown");
        table
            .of("keycloak", &progress)
            .add("sign-in", "an account", Ok("one account".to_owned()));
        assert!(table.held());
        table.of("keycloak", &progress).add(
            "refresh",
            "a token",
            Err(anyhow::anyhow!("refused\nwith | a line")),
        );
        assert!(!table.held());
        let text = table.to_string();
        assert!(text.contains("| keycloak | sign-in | an account | one account | held |"));
        assert!(
            text.contains("refused with \\| a line | **broke** |"),
            "{text}"
        );
        assert!(text.ends_with("1 of 2 rows held\n"));
    }
}
