//! The sections of `docs/runbook.md`.

use std::fmt;

use latchkey_providers::FailureClass;

/// A section of `docs/runbook.md`, which says more than the finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runbook {
    /// A variable is wrong or missing.
    Variable,
    /// The clock of a machine is wrong.
    Clock,
    /// The database does not answer.
    Database,
    /// A migration is missing or fails.
    Migration,
    /// A sealing key is lost.
    SealingKey,
    /// The broker does not answer.
    Broker,
    /// An event had no queue.
    Unrouted,
    /// A message could not be handled.
    Parked,
    /// A certificate expires.
    Certificate,
    /// People cannot sign in.
    SignIn,
    /// The front end does not take a session over.
    FrontEnd,
    /// The provider does not accept the client.
    ClientSecret,
    /// Another build runs than the one that was deployed.
    Version,
    /// A service is not ready.
    NotReady,
    /// Events wait in the outbox.
    Outbox,
    /// An account does not appear.
    Account,
    /// Channels do not sync.
    Channels,
    /// A reason of a refused token.
    Reason(FailureClass),
    /// A caller is refused.
    CallerRefused,
}

impl Runbook {
    /// Every section.
    pub fn all() -> impl Iterator<Item = Self> {
        let sections = [
            Self::Variable,
            Self::Clock,
            Self::Database,
            Self::Migration,
            Self::SealingKey,
            Self::Broker,
            Self::Unrouted,
            Self::Parked,
            Self::Certificate,
            Self::SignIn,
            Self::FrontEnd,
            Self::ClientSecret,
            Self::Version,
            Self::NotReady,
            Self::Outbox,
            Self::Account,
            Self::Channels,
            Self::CallerRefused,
        ];
        let reasons = FailureClass::ALL.into_iter().map(Self::Reason);
        sections.into_iter().chain(reasons)
    }

    /// The anchor in `docs/runbook.md`.
    pub fn anchor(self) -> String {
        match self {
            Self::Variable => "a-variable-is-wrong-or-missing",
            Self::Clock => "a-clock-is-wrong",
            Self::Database => "the-database-does-not-answer",
            Self::Migration => "a-migration-fails",
            Self::SealingKey => "a-sealing-key-is-lost",
            Self::Broker => "the-broker-does-not-answer",
            Self::Unrouted => "an-event-is-unrouted",
            Self::Parked => "latchkeyeventsparked",
            Self::Certificate => "a-certificate-expires",
            Self::SignIn => "people-cannot-sign-in",
            Self::FrontEnd => "the-front-end-does-not-take-the-session-over",
            Self::ClientSecret => "client_misconfigured",
            Self::Version => "another-build-runs",
            Self::NotReady => "a-service-is-not-ready",
            Self::Outbox => "latchkeyeventsnotpublished",
            Self::Account => "an-account-does-not-appear-after-a-sign-in",
            Self::Channels => "channels-do-not-sync",
            Self::CallerRefused => "caller_not_allowed",
            Self::Reason(class) => return class.reason().to_lowercase(),
        }
        .to_owned()
    }
}

impl fmt::Display for Runbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "docs/runbook.md#{}", self.anchor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The anchor that GitHub gives a heading.
    fn anchor_of(heading: &str) -> String {
        let kept = heading.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        });
        kept.collect()
    }

    #[test]
    fn every_finding_leads_to_a_section_that_exists() {
        let text = include_str!("../../../docs/runbook.md");
        let headings: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| anchor_of(line.trim_start_matches('#').trim()))
            .collect();
        for section in Runbook::all() {
            let anchor = section.anchor();
            let named = text.contains(&format!("<a id=\"{anchor}\"></a>"));
            assert!(named || headings.contains(&anchor), "{section}");
        }
    }
}
