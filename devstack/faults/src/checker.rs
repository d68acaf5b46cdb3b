//! The independent checker: pure functions over the history, the rows of the database, the messages
//! of the shadow queue and the provider's own log.

mod accounts;
mod connections;
mod events;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::evidence::{Account, Evidence};
use crate::history::{Call, Person};

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A confirmed sign-in has no account.
    AccountLost,
    /// A person has several accounts at one provider.
    AccountDoubled,
    /// An account of somebody who never signed in.
    AccountUnfounded,
    /// An account has no channel of a kind.
    ChannelLost,
    /// An account has several channels of a kind.
    ChannelDoubled,
    /// A channel has no first job.
    JobLost,
    /// A start of a channel has several jobs.
    JobDoubled,
    /// An event was committed and not published.
    EventLost,
    /// An event was published and not committed.
    EventUnfounded,
    /// An event was parked although it is a good one.
    EventParked,
    /// The stored credentials are not those of the newest authentication, or an authentication that
    /// was never asked for.
    CredentialsStale,
    /// No valid grant is left, and nobody ended it.
    CredentialsLost,
    /// A channel does not have the newest choice.
    ChoiceStale,
    /// A confirmed disconnect did not last, or a confirmed connection did not.
    ConnectionWrong,
    /// A refresh token was spent twice at the strict provider outside the window.
    RefreshTokenSpentTwice,
    /// A token was given after a confirmed revocation.
    TokenAfterRevocation,
    /// A read of an account went back in version.
    VersionWentBack,
    /// Something still waited at the end of the settle phase.
    NotSettled,
}

impl Kind {
    /// Returns whether something is lost that was acknowledged.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Self::AccountLost
                | Self::ChannelLost
                | Self::JobLost
                | Self::EventLost
                | Self::EventParked
                | Self::CredentialsLost
        )
    }

    /// Returns whether something exists more than once.
    pub fn is_doubled(self) -> bool {
        matches!(
            self,
            Self::AccountDoubled | Self::ChannelDoubled | Self::JobDoubled
        )
    }
}

/// A violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub kind: Kind,
    /// What violates it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// The violations that were found.
#[derive(Debug, Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, kind: Kind, what: impl Into<String>) {
        self.0.push(Violation {
            kind,
            what: what.into(),
        });
    }
}

/// Judges the evidence by every rule.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Violations::default();
    let people = People::of(evidence);
    accounts::check(evidence, &people, &mut violations);
    let unlucky = tokens::check_presented(evidence, &mut violations);
    connections::check(evidence, &people, &unlucky, &mut violations);
    events::check(evidence, &mut violations);
    tokens::check(&people, &mut violations);
    if !evidence.unsettled.is_empty() {
        violations.add(Kind::NotSettled, &evidence.unsettled);
    }
    violations.0
}

/// The calls and the accounts of a person.
#[derive(Debug, Default)]
struct OfPerson<'a> {
    calls: Vec<&'a Call>,
    accounts: Vec<&'a Account>,
}

/// Calls and accounts by person.
#[derive(Debug)]
struct People<'a>(BTreeMap<&'a Person, OfPerson<'a>>);

impl<'a> People<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let mut accounts: BTreeMap<(&str, &str), Vec<&Account>> = BTreeMap::new();
        for account in &evidence.database.accounts {
            let key = (account.provider.as_str(), account.handle.as_str());
            accounts.entry(key).or_default().push(account);
        }
        let mut people: BTreeMap<&Person, OfPerson<'_>> = BTreeMap::new();
        for call in &evidence.calls {
            let person = call.operation.person();
            people.entry(person).or_default().calls.push(call);
        }
        for (person, of_person) in &mut people {
            let handle = person.handle();
            let key = (person.provider.name(), handle.as_str());
            if let Some(own) = accounts.get(&key) {
                of_person.accounts.clone_from(own);
            }
        }
        Self(people)
    }

    /// Returns the people who certainly have an account: an authentication was confirmed.
    fn with_account(&self) -> impl Iterator<Item = (&'a Person, &OfPerson<'a>)> {
        self.0.iter().filter_map(|(person, of_person)| {
            let confirmed = |call: &&Call| call.operation.authenticates() && call.is_confirmed();
            let has = of_person.calls.iter().any(confirmed);
            has.then_some((*person, of_person))
        })
    }
}
