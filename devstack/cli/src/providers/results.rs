//! What was expected of each step, and what happened.

use std::fmt;

use latchkey_servers::Progress;

/// One step at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StepResult {
    server: &'static str,
    step: &'static str,
    expected: &'static str,
    happened: String,
    succeeded: bool,
}

/// Every step.
#[derive(Debug, Default)]
pub(super) struct Results {
    results: Vec<StepResult>,
}

/// The table, open for one server.
pub(super) struct ServerResults<'a> {
    table: &'a mut Results,
    server: &'static str,
    progress: &'a Progress,
}

impl Results {
    pub(super) fn for_server<'a>(
        &'a mut self,
        server: &'static str,
        progress: &'a Progress,
    ) -> ServerResults<'a> {
        ServerResults {
            table: self,
            server,
            progress,
        }
    }

    /// Returns `true` if there are results and every one held.
    pub(super) fn all_succeeded(&self) -> bool {
        !self.results.is_empty() && self.results.iter().all(|row| row.succeeded)
    }
}

impl ServerResults<'_> {
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
            .take(MAX_CELL_LENGTH)
            .collect();
        let mark = if held { "held" } else { "BROKE" };
        (self.progress)(&format!("{} · {step}: {mark}: {happened}", self.server));
        self.table.results.push(StepResult {
            server: self.server,
            step,
            expected,
            happened,
            held,
        });
    }
}

/// Characters of a cell.
const MAX_CELL_LENGTH: usize = 300;

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| server | step | expected | happened | |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &self.results {
            let mark = if row.succeeded { "held" } else { "**broke**" };
            writeln!(
                f,
                "| {} | {} | {} | {} | {mark} |",
                row.server,
                row.step,
                row.expected,
                row.happened.replace('|', "\\|")
            )?;
        }
        let held = self.results.iter().filter(|row| row.succeeded).count();
        writeln!(f, "\n{held} of {} results held", self.results.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_that_broke_breaks_the_table() {
        let progress = latchkey_servers::silent();
        let mut table = Results::default();
        assert!(!table.all_succeeded(), "nothing was shown");
        table
            .of("keycloak", &progress)
            .add("sign-in", "an account", Ok("one account".to_owned()));
        assert!(table.all_succeeded());
        table.for_server("keycloak", &progress).add(
            "refresh",
            "a token",
            Err(anyhow::anyhow!("refused\nwith | a line")),
        );
        assert!(!table.all_succeeded());
        let text = table.to_string();
        assert!(text.contains("| keycloak | sign-in | an account | one account | held |"));
        assert!(
            text.contains("refused with \\| a line | **broke** |"),
            "{text}"
        );
        assert!(text.ends_with("1 of 2 results held\n"));
    }
}
