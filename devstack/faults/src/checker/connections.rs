//! The newest credentials and choices are stored, and what the person disconnected or connected last
//! stays so.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::people::{OfPerson, People};
use super::violation::{Kind, Violations};
use crate::evidence::{Account, Channel, Evidence};
use crate::history::{Answer, Call, Choice, Moment, Operation, Person, Provider};

/// The choice that applies if the person never chose.
const DEFAULT: &str = "SHARE_EVERYTHING";

/// `unlucky` are the people whose grant may be dead without anybody's fault.
pub(super) fn check(
    evidence: &Evidence,
    people: &People<'_>,
    unlucky: &BTreeSet<String>,
    violations: &mut Violations,
) {
    let mut channels: BTreeMap<Uuid, Vec<&Channel>> = BTreeMap::new();
    for channel in &evidence.database.channels {
        channels.entry(channel.account).or_default().push(channel);
    }
    for (person, of_person) in people.with_account() {
        let Some(account) = of_person.accounts.first() else {
            continue;
        };
        check_authentication(person, of_person, account, violations);
        let state = state(of_person);
        match state {
            State::Disconnected if !account.disconnected || account.has_tokens => violations.add(
                Kind::ConnectionWrong,
                format!("{} was disconnected and is connected", person.name),
            ),
            State::Connected if account.disconnected => violations.add(
                Kind::ConnectionWrong,
                format!("{} was connected and is disconnected", person.name),
            ),
            _ => {}
        }
        if state == State::Connected {
            check_credentials(person, of_person, account, violations);
            check_last(person, of_person, unlucky, violations);
            if account.failed && !unlucky.contains(&person.name) {
                violations.add(
                    Kind::CredentialsLost,
                    format!("the grant of {} has stopped working", person.name),
                );
            }
        }
        let own = channels.get(&account.id).map_or(&[][..], Vec::as_slice);
        check_choices(person, of_person, own, violations);
    }
}

/// What the calls say of the connection at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connected,
    Disconnected,
    /// An answer is missing, or calls overlap.
    Either,
}

fn is_connect(call: &Call) -> bool {
    matches!(call.operation, Operation::Connect { .. })
}

fn is_disconnect(call: &Call) -> bool {
    matches!(call.operation, Operation::Disconnect { .. })
}

/// Returns whether a call is confirmed and every one of the others was over before it was asked.
fn is_last<'b, 'a: 'b>(call: &Call, mut others: impl Iterator<Item = &'b &'a Call>) -> bool {
    call.is_confirmed() && others.all(|other| other.effective_until() < call.asked)
}

fn state(of_person: &OfPerson<'_>) -> State {
    let done = || of_person.calls.iter().filter(|call| call.may_be_done());
    let connects = || done().filter(|call| is_connect(call));
    let disconnects = || done().filter(|call| is_disconnect(call));
    if disconnects().next().is_none() {
        return State::Connected;
    }
    if disconnects().any(|call| is_last(call, connects())) {
        return State::Disconnected;
    }
    if connects().any(|call| is_last(call, disconnects())) {
        return State::Connected;
    }
    State::Either
}

/// The newest authentication that was applied is one that was asked for, and none that was confirmed
/// is newer.
fn check_authentication(
    person: &Person,
    of_person: &OfPerson<'_>,
    account: &Account,
    violations: &mut Violations,
) {
    let applied = account.last_authenticated;
    let newest = newest(of_person, |_| true);
    if newest.is_some_and(|newest| applied < newest) {
        violations.add(
            Kind::CredentialsStale,
            format!("the newest sign-in of {} was not applied", person.name),
        );
    }
    let founded = of_person.calls.iter().any(|call| {
        let until = call.effective_until();
        call.operation.authenticates()
            && call.may_be_done()
            && (call.asked..=until).contains(&applied)
    });
    if !founded {
        violations.add(
            Kind::CredentialsStale,
            format!("{} never signed in at the time that is stored", person.name),
        );
    }
}

/// Returns when the newest confirmed authentication was asked for.
fn newest(of_person: &OfPerson<'_>, counts: impl Fn(&Call) -> bool) -> Option<Moment> {
    let calls = of_person.calls.iter();
    calls
        .filter(|call| call.operation.authenticates() && call.is_confirmed() && counts(call))
        .map(|call| call.asked)
        .max()
}

/// The stored tokens are those of the newest grant. Google sends no refresh token with a second
/// sign-in, so that which of its grants is stored depends on more than the time. After a disconnect
/// only deliberate connections count.
fn check_credentials(
    person: &Person,
    of_person: &OfPerson<'_>,
    account: &Account,
    violations: &mut Violations,
) {
    if !account.has_tokens {
        if !account.failed {
            violations.add(
                Kind::CredentialsLost,
                format!("{} is connected without a token", person.name),
            );
        }
        return;
    }
    if person.provider != Provider::Strict {
        return;
    }
    let was_disconnected = of_person.calls.iter().any(|call| is_disconnect(call));
    let newest = newest(of_person, |call| !was_disconnected || is_connect(call));
    let stored = account.credential_authenticated.unwrap_or_default();
    if newest.is_some_and(|newest| stored < newest) {
        violations.add(
            Kind::CredentialsStale,
            format!("the tokens of {} are of an older sign-in", person.name),
        );
    }
}

/// At the end each account that is connected gives a token that the provider accepts.
fn check_last(
    person: &Person,
    of_person: &OfPerson<'_>,
    unlucky: &BTreeSet<String>,
    violations: &mut Violations,
) {
    for call in &of_person.calls {
        if !matches!(call.operation, Operation::Token { last: true, .. }) {
            continue;
        }
        let problem = match &call.answer {
            Answer::Token {
                accepted: Some(false),
                ..
            } => "a token that the provider does not accept",
            Answer::Refused { reason } if !unlucky.contains(&person.name) => reason,
            Answer::Unknown { error } => error,
            _ => continue,
        };
        violations.add(
            Kind::CredentialsLost,
            format!("{} gets no token at the end: {problem}", person.name),
        );
    }
}

/// A channel has the choice of a connection that no confirmed one certainly followed.
fn check_choices(
    person: &Person,
    of_person: &OfPerson<'_>,
    channels: &[&Channel],
    violations: &mut Violations,
) {
    let connects: Vec<(&Call, &Choice)> = of_person
        .calls
        .iter()
        .filter(|call| call.may_be_done())
        .filter_map(|call| match &call.operation {
            Operation::Connect { choice, .. } => Some((*call, choice)),
            _ => None,
        })
        .collect();
    let last_asked = connects
        .iter()
        .filter(|(call, _)| call.is_confirmed())
        .map(|(call, _)| call.asked)
        .max();
    let possible: Vec<&Choice> = connects
        .iter()
        .filter(|(call, _)| last_asked.is_none_or(|asked| call.effective_until() >= asked))
        .map(|(_, choice)| *choice)
        .collect();
    for channel in channels {
        let is_default = last_asked.is_none() && channel.visibility == DEFAULT;
        let mut chosen = possible
            .iter()
            .map(|choice| visibility(choice, &channel.kind));
        if !is_default && !chosen.any(|one| one == channel.visibility) {
            violations.add(
                Kind::ChoiceStale,
                format!(
                    "the {} channel of {} has {}, which is not the newest choice",
                    channel.kind, person.name, channel.visibility
                ),
            );
        }
    }
}

/// Returns the choice for a kind of channel.
fn visibility<'a>(choice: &'a Choice, kind: &str) -> &'a str {
    if kind == "MESSAGE" {
        &choice.messages
    } else {
        &choice.calendar
    }
}
