//! What was found, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::check_id::CheckId;
use crate::finding::Finding;
use crate::outcome::Outcome;
use crate::wording::on_one_line;

/// What was found. Its `Display` is for people: the first line names the most probable cause.
#[derive(Debug)]
pub struct Report {
    /// The findings with the check that found them, the most probable cause first.
    findings: Vec<(CheckId, Finding)>,
    checks: Vec<(CheckId, Outcome)>,
    took: Duration,
}

impl Report {
    pub(crate) fn new(mut checks: Vec<(CheckId, Outcome)>, took: Duration) -> Self {
        // The order of the checks is that of cause and effect.
        checks.sort_by_key(|(check, _)| *check);
        for (_, outcome) in &mut checks {
            for line in outcome.iter_mut().flat_map(|looked| &mut looked.seen) {
                *line = on_one_line(line);
            }
        }
        let findings = checks
            .iter()
            .filter_map(|(check, outcome)| Some((*check, outcome.as_ref().ok()?)))
            .flat_map(|(check, looked)| looked.findings.iter().map(move |one| (check, one)))
            .map(|(check, finding)| (check, finding.on_one_line()))
            .collect();
        Self {
            findings,
            checks,
            took,
        }
    }

    /// Returns `true` if nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.findings.is_empty()
    }

    /// The code of the most probable cause, such as `redirect_uri`.
    pub fn cause(&self) -> Option<&'static str> {
        self.findings.first().map(|(_, finding)| finding.code)
    }

    /// The report for programs. Codes of findings and names of fields do not change.
    pub fn to_json(&self) -> Value {
        let findings = self.findings.iter().map(|(check, finding)| {
            json!({
                "code": finding.code,
                "check": check.to_string(),
                "problem": finding.problem,
                "looked_at": finding.looked_at,
                "do": finding.remedy,
                "runbook": finding.runbook.to_string(),
            })
        });
        let checks = self.checks.iter().map(|(check, outcome)| match outcome {
            Ok(looked) => json!({
                "check": check.to_string(),
                "looked": true,
                "seen": looked.seen,
                "detail": looked.detail,
            }),
            Err(why) => json!({
                "check": check.to_string(),
                "looked": false,
                "why": why.to_string(),
            }),
        });
        json!({
            "healthy": self.is_healthy(),
            "seconds": self.took.as_secs_f64(),
            "findings": findings.collect::<Vec<_>>(),
            "checks": checks.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let looked = self.checks.iter().filter(|(_, outcome)| outcome.is_ok());
        if self.is_healthy() {
            let (checks, seconds) = (looked.count(), self.took.as_secs_f64());
            writeln!(f, "no finding: {checks} checks in {seconds:.1} s")?;
        }
        for (position, (_, finding)) in self.findings.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", finding.problem)?;
            writeln!(f, "  looked at  {}", finding.looked_at)?;
            writeln!(f, "  do         {}", finding.remedy)?;
            writeln!(f, "  see        {}", finding.runbook)?;
        }
        writeln!(f, "\nlooked at")?;
        for (check, outcome) in &self.checks {
            let Ok(looked) = outcome else { continue };
            let mark = if looked.findings.is_empty() { ' ' } else { '!' };
            let mut lines = looked.seen.iter();
            let first = lines.next().map_or("", String::as_str);
            writeln!(f, "{mark} {check:<19} {first}")?;
            for line in lines {
                writeln!(f, "{:21} {line}", "")?;
            }
        }
        let not: Vec<_> = self
            .checks
            .iter()
            .filter_map(|(check, outcome)| Some((check, outcome.as_ref().err()?)))
            .collect();
        if !not.is_empty() {
            writeln!(f, "\nnot looked at")?;
        }
        for (check, why) in not {
            writeln!(f, "  {check:<19} {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Looked;

    // A channel's reason, for one, is the text of a sync worker.
    #[test]
    fn what_others_wrote_changes_no_terminal() {
        let looked = Looked {
            seen: vec!["3 channels: a\n\u{1b}[31mb".to_owned()],
            ..Looked::default()
        };
        let checks = vec![(CheckId::Failures, Ok(looked))];
        let report = Report::new(checks, Duration::ZERO);
        assert!(report.is_healthy());
        let text = report.to_string();
        assert!(text.contains("3 channels: a  [31mb"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
