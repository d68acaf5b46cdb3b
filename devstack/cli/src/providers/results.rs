//! The expected and the actual result of each step.

use std::fmt;

use latchkey_servers::Progress;

/// The result of one step at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StepResult {
    server: &'static str,
    step: &'static str,
    expected: &'static str,
    happened: String,
    succeeded: bool,
}

/// The results of all steps.
#[derive(Debug, Default)]
pub(super) struct Results {
    results: Vec<StepResult>,
}

/// Adds the results of one server.
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

    /// Returns `true` if there are results and every step succeeded.
    pub(super) fn all_succeeded(&self) -> bool {
        !self.results.is_empty() && self.results.iter().all(|row| row.succeeded)
    }
}

impl ServerResults<'_> {
    /// Adds the result of a step: what happened, or the error if that was not expected.
    pub(super) fn add(
        &mut self,
        step: &'static str,
        expected: &'static str,
        outcome: anyhow::Result<String>,
    ) {
        let succeeded = outcome.is_ok();
        let happened = outcome.unwrap_or_else(|error| format!("{error:#}"));
        // One line that is short enough to read.
        let happened: String = happened
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(MAX_CELL_LENGTH)
            .collect();
        let mark = if succeeded { "passed" } else { "FAILED" };
        (self.progress)(&format!("{} · {step}: {mark}: {happened}", self.server));
        self.table.results.push(StepResult {
            server: self.server,
            step,
            expected,
            happened,
            succeeded,
        });
    }
}

/// Maximum length of a cell in characters.
const MAX_CELL_LENGTH: usize = 300;

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| server | step | expected | actual | |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &self.results {
            let mark = if row.succeeded {
                "passed"
            } else {
                "**failed**"
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {mark} |",
                row.server,
                row.step,
                row.expected,
                row.happened.replace('|', "\\|")
            )?;
        }
        let passed = self.results.iter().filter(|row| row.succeeded).count();
        writeln!(f, "\n{passed} of {} steps passed", self.results.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_fails_the_whole_run() {
        let progress = latchkey_servers::silent();
        let mut table = Results::default();
        assert!(!table.all_succeeded(), "there are no results yet");
        table.for_server("keycloak", &progress).add(
            "sign-in",
            "an account",
            Ok("one account".to_owned()),
        );
        assert!(table.all_succeeded());
        table.for_server("keycloak", &progress).add(
            "refresh",
            "a token",
            Err(anyhow::anyhow!("refused\nwith | a line")),
        );
        assert!(!table.all_succeeded());
        let text = table.to_string();
        assert!(text.contains("| keycloak | sign-in | an account | one account | passed |"));
        assert!(
            text.contains("refused with \\| a line | **failed** |"),
            "{text}"
        );
        assert!(text.ends_with("1 of 2 steps passed\n"));
    }
}
