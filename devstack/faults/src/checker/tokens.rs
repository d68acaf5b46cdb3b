//! No refresh token is spent twice outside the window, no token is given after a confirmed
//! revocation, and no version goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::people::{OfPerson, People};
use super::violation::{Kind, Violations};
use crate::evidence::{Evidence, Presented};
use crate::history::{Answer, Call, FaultSpan, Moment, Operation, Person, Provider};

/// The window: a fault during which refresh-svc loses an answer of the provider was active at most
/// this long before or after the provider received the request, and may have lost the answer for
/// the account. Without such a fault refresh-svc stores the answer before it asks again.
pub const WINDOW: Duration = Duration::from_secs(5);
/// How long after a fault of the database refresh-svc may need to store an answer: it notices lost
/// connections one by one.
const STORING: Duration = Duration::from_secs(15);

pub(super) fn check(people: &People<'_>, violations: &mut Violations) {
    for (person, of_person) in &people.0 {
        let mut accounts: BTreeMap<Uuid, Vec<&Call>> = BTreeMap::new();
        for call in &of_person.calls {
            if let Operation::Token { account, .. } = call.operation {
                accounts.entry(account).or_default().push(call);
            }
        }
        for (account, tokens) in &accounts {
            check_versions(*account, tokens, violations);
            check_revocations(person, of_person, tokens, violations);
        }
    }
}

/// Returns the people whose refresh token was spent twice within the window: their grant may be
/// dead.
pub(super) fn check_presented(
    evidence: &Evidence,
    violations: &mut Violations,
) -> BTreeSet<String> {
    let accounts = accounts_of_strict_provider(evidence);
    let may_be_lost = |presented: &Presented, person: &str| {
        let account = accounts.get(person).copied();
        is_in_window(&evidence.faults, account, presented.at)
    };
    let mut tokens: BTreeMap<&str, Vec<&Presented>> = BTreeMap::new();
    for presented in &evidence.presented {
        tokens.entry(&presented.token).or_default().push(presented);
    }
    let mut unlucky = BTreeSet::new();
    for presented in tokens.values_mut() {
        presented.sort_by_key(|one| one.at);
        let first = presented.iter().position(|one| one.accepted);
        let after = first.map_or(&[][..], |first| presented.get(first..).unwrap_or_default());
        for pair in after.windows(2) {
            let [before, again] = pair else { continue };
            if may_be_lost(before, &again.person) {
                unlucky.insert(again.person.clone());
            } else {
                violations.add(
                    Kind::RefreshTokenSpentTwice,
                    format!("a refresh token of {} was spent twice", again.person),
                );
            }
        }
        // The answer was lost, and no later call has asked for the token.
        if let Some(last) = after.last()
            && may_be_lost(last, &last.person)
        {
            unlucky.insert(last.person.clone());
        }
    }
    unlucky
}

/// Returns the account of each person at the strict provider by the person's name.
fn accounts_of_strict_provider(evidence: &Evidence) -> BTreeMap<&str, Uuid> {
    let accounts = evidence.database.accounts.iter();
    accounts
        .filter(|account| account.provider == Provider::Strict.name())
        .filter_map(|account| Some((account.handle.split('@').next()?, account.id)))
        .collect()
}

fn is_in_window(faults: &[FaultSpan], account: Option<Uuid>, at: Moment) -> bool {
    faults.iter().any(|span| {
        let is_during = |from: Moment| from.minus(WINDOW) <= at && at <= span.ended.plus(WINDOW);
        let may_lose = |from| is_during(from) || may_be_unstored(faults, at, from);
        span.may_lose_an_answer(account) && span.broken_from().is_some_and(may_lose)
    })
}

/// Returns whether the answer to a request may have been in the memory of refresh-svc until a later
/// moment, because the database could not be reached.
fn may_be_unstored(faults: &[FaultSpan], at: Moment, until: Moment) -> bool {
    let prevents = |span: &FaultSpan| {
        span.begun.minus(WINDOW) <= at && at <= until && until <= span.ended.plus(STORING)
    };
    let mut preventing = faults
        .iter()
        .filter(|span| span.fault.may_prevent_storing());
    preventing.any(prevents)
}

/// A token that was asked for after another was answered is not older.
fn check_versions(account: Uuid, calls: &[&Call], violations: &mut Violations) {
    let given = |call: &&Call| match call.answer {
        Answer::Token { version, .. } => Some((call.asked, call.answered, version)),
        _ => None,
    };
    let mut asked: Vec<(Moment, Moment, i64)> = calls.iter().filter_map(given).collect();
    let mut answered = asked.clone();
    asked.sort_by_key(|(asked, ..)| *asked);
    answered.sort_by_key(|(_, answered, _)| *answered);
    let mut before = answered.into_iter().peekable();
    let mut newest = i64::MIN;
    for (at, _, version) in asked {
        while let Some((.., seen)) = before.next_if(|(_, answered, _)| *answered < at) {
            newest = newest.max(seen);
        }
        if version < newest {
            violations.add(
                Kind::VersionWentBack,
                format!("account {account}: version {version} after {newest}"),
            );
        }
    }
}

fn check_revocations(
    person: &Person,
    of_person: &OfPerson<'_>,
    tokens: &[&Call],
    violations: &mut Violations,
) {
    let all = || of_person.calls.iter();
    let is_revocation = |call: &&&Call| matches!(call.operation, Operation::Disconnect { .. });
    let revocations: Vec<&&Call> = all()
        .filter(is_revocation)
        .filter(|call| call.is_confirmed())
        .collect();
    let is_connect = |call: &&&Call| matches!(call.operation, Operation::Connect { .. });
    let connects: Vec<&&Call> = all()
        .filter(is_connect)
        .filter(|call| call.may_be_done())
        .collect();
    for token in tokens {
        let was_given = matches!(token.answer, Answer::Token { .. });
        let is_revoked = revocations.iter().any(|revocation| {
            let is_before = revocation.answered < token.asked;
            let revived = connects.iter().any(|connect| {
                connect.effective_until() >= revocation.asked && connect.asked <= token.answered
            });
            is_before && !revived
        });
        if was_given && is_revoked {
            violations.add(
                Kind::TokenAfterRevocation,
                format!("{} got a token after a revocation", person.name),
            );
        }
    }
}
