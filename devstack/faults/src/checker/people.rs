//! The calls and the accounts, by person.

use std::collections::BTreeMap;

use crate::evidence::{Account, Evidence};
use crate::history::{Call, Person};

/// The calls and the accounts of a person.
#[derive(Debug, Default)]
pub(super) struct OfPerson<'a> {
    pub(super) calls: Vec<&'a Call>,
    pub(super) accounts: Vec<&'a Account>,
}

/// Calls and accounts by person.
#[derive(Debug)]
pub(super) struct People<'a>(pub(super) BTreeMap<&'a Person, OfPerson<'a>>);

impl<'a> People<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Self {
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
    pub(super) fn with_account(&self) -> impl Iterator<Item = (&'a Person, &OfPerson<'a>)> {
        self.0.iter().filter_map(|(person, of_person)| {
            let confirmed = |call: &&Call| call.operation.authenticates() && call.is_confirmed();
            let has = of_person.calls.iter().any(confirmed);
            has.then_some((*person, of_person))
        })
    }
}
