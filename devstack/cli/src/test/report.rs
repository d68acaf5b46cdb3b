//! Collects the output of `cargo test` into one table.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// One test program of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Package and target, such as `auth-svc api`.
    pub name: String,
    /// The counts of its last line; `None` if it ended without that line.
    pub result: Option<Counts>,
}

/// The counts of the last line of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that were not run.
    pub ignored: usize,
    /// Duration of the suite.
    pub took: Duration,
}

/// Reads the output of `cargo test` line by line.
#[derive(Debug, Default)]
pub struct Report {
    /// Names of the test programs by their file, such as `deps/api-0123`.
    names: HashMap<String, String>,
    suites: Vec<Suite>,
    failed_tests: Vec<String>,
}

impl Report {
    /// Returns an empty report with the names of the suites by the files of their programs.
    pub fn new(names: HashMap<String, String>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// Returns the report of a program that has ended. `name` is absent if the program prints
    /// the names of suites itself.
    pub fn of(name: Option<&str>, output: &str, succeeded: bool) -> Self {
        let mut report = Self::default();
        if let Some(name) = name {
            report.begin(name.to_owned());
        }
        for line in output.lines() {
            report.line(line);
        }
        if !succeeded && report.is_green() {
            report.begin(format!("{}, its end", name.unwrap_or("a program")));
        }
        report
    }

    /// Adds the suites and failed tests of another report.
    pub fn append(&mut self, other: Self) {
        self.suites.extend(other.suites);
        self.failed_tests.extend(other.failed_tests);
    }

    /// Reads one line of the output.
    pub fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("Running ") {
            self.begin(self.suite_name(rest));
        } else if let Some(name) = line.strip_prefix("Doc-tests ") {
            self.begin(format!("{name} (documentation)"));
        } else if let Some(counts) = counts(line) {
            if let Some(suite) = self.suites.last_mut() {
                suite.result = Some(counts);
            }
        } else if let Some(test) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
            && let Some(suite) = self.suites.last()
        {
            self.failed_tests.push(format!("{}: {test}", suite.name));
        }
    }

    fn begin(&mut self, name: String) {
        self.suites.push(Suite { name, result: None });
    }

    /// In `tests/api/main.rs (target/debug/deps/api-0123)` the file identifies the package.
    fn suite_name(&self, rest: &str) -> String {
        rest.rsplit_once('(')
            .and_then(|(_, file)| file.strip_suffix(')'))
            .and_then(|file| {
                let name = file.rsplit('/').next()?;
                self.names.get(name).cloned()
            })
            .unwrap_or_else(|| rest.to_owned())
    }

    /// Returns `true` if every suite that started has ended without a failed test.
    pub fn is_green(&self) -> bool {
        self.suites
            .iter()
            .all(|suite| suite.result.is_some_and(|counts| counts.failed == 0))
    }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …; finished in 0.25s`
fn counts(line: &str) -> Option<Counts> {
    let rest = line.strip_prefix("test result: ")?;
    let mut counts = Counts::default();
    let (_, rest) = rest.split_once(". ")?;
    for part in rest.split(';').map(str::trim) {
        if let Some(seconds) = part
            .strip_prefix("finished in ")
            .and_then(|text| text.strip_suffix('s'))
        {
            counts.took = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
            continue;
        }
        let (number, what) = part.split_once(' ')?;
        let number = number.parse().ok()?;
        match what {
            "passed" => counts.passed = number,
            "failed" => counts.failed = number,
            "ignored" => counts.ignored = number,
            _ => {}
        }
    }
    Some(counts)
}

impl fmt::Display for Report {
    /// Writes the table, the tests that failed, and one line with the sums.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .suites
            .iter()
            .map(|suite| suite.name.chars().count())
            .max()
            .unwrap_or(0)
            .max("suite".len());
        writeln!(
            f,
            "{:width$}  {:>6}  {:>6}  {:>7}  {:>8}",
            "suite", "passed", "failed", "ignored", "time"
        )?;
        let mut sum = Counts::default();
        for suite in &self.suites {
            let Some(counts) = suite.result else {
                writeln!(f, "{:width$}  ended without a result", suite.name)?;
                sum.failed += 1;
                continue;
            };
            sum.passed += counts.passed;
            sum.failed += counts.failed;
            if counts == Counts::default() {
                continue;
            }
            writeln!(
                f,
                "{:width$}  {:>6}  {:>6}  {:>7}  {:>6.1} s",
                suite.name,
                counts.passed,
                counts.failed,
                counts.ignored,
                counts.took.as_secs_f64()
            )?;
        }
        for test in &self.failed_tests {
            writeln!(f, "failed: {test}")?;
        }
        write!(f, "{} passed, {} failed", sum.passed, sum.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &str) -> Report {
        let names = [("api-0123", "auth-svc api"), ("api-4567", "sync-svc api")];
        let names = names
            .iter()
            .map(|(file, name)| ((*file).to_owned(), (*name).to_owned()))
            .collect();
        let mut report = Report::new(names);
        for line in lines.lines() {
            report.line(line);
        }
        report
    }

    #[test]
    fn the_table_has_a_row_per_suite_and_a_sum() {
        let report = report(
            "     Running tests/api/main.rs (target/debug/deps/api-0123)\n\
             test health::alive ... ok\n\
             test health::ready ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.50s\n\
             \x20  Doc-tests latchkey_client\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.25s\n",
        );
        assert_eq!(
            report.to_string(),
            "suite                            passed  failed  ignored      time\n\
             auth-svc api                          1       1        2     1.5 s\n\
             latchkey_client (documentation)       3       0        0     0.2 s\n\
             failed: auth-svc api: health::ready\n\
             4 passed, 1 failed"
        );
        assert!(!report.is_green());
    }

    #[test]
    fn a_program_that_fails_is_not_green_even_if_its_tests_passed() {
        let output = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.25s\n";
        assert!(Report::of(Some("auth-svc api"), output, true).is_green());
        let report = Report::of(Some("auth-svc api"), output, false);
        assert!(!report.is_green());
        assert!(report.to_string().ends_with("3 passed, 1 failed"));
        assert!(!Report::of(Some("auth-svc api"), "", true).is_green());
    }

    #[test]
    fn a_suite_that_ends_without_a_result_counts_as_failed() {
        let report = report("     Running tests/api/main.rs (target/debug/deps/api-4567)\n");
        assert!(!report.is_green());
        assert!(report.to_string().ends_with("0 passed, 1 failed"));
    }
}
