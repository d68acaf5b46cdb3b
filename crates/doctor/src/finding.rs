//! What a check finds wrong.

use crate::runbook::Runbook;
use crate::wording::on_one_line;

/// What is wrong. Each check words its own findings. None contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// For programs; does not change.
    pub code: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What was looked at.
    pub looked_at: String,
    /// What to do.
    pub remedy: String,
    /// The section that says more.
    pub runbook: Runbook,
}

impl Finding {
    /// The finding with each text bounded and on one line: a text may quote a provider, the broker
    /// or the operating system.
    pub(crate) fn on_one_line(&self) -> Self {
        Self {
            code: self.code,
            problem: on_one_line(&self.problem),
            looked_at: on_one_line(&self.looked_at),
            remedy: on_one_line(&self.remedy),
            runbook: self.runbook,
        }
    }
}

/// The codes of findings.
#[cfg(test)]
pub(crate) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_others_answered() {
        let finding = Finding {
            code: "discovery",
            problem: "a\n\u{1b}[31mb".repeat(1_000),
            looked_at: String::new(),
            remedy: String::new(),
            runbook: Runbook::SignIn,
        };
        let problem = finding.on_one_line().problem;
        assert!(!problem.contains(char::is_control));
        assert!(problem.chars().count() <= 600);
    }
}
