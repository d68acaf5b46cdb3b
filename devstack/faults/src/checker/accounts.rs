//! Every confirmed sign-in has exactly one account, one channel of each kind, and one first job for
//! each channel.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::people::People;
use super::violation::{Kind, Violations};
use crate::evidence::{Channel, Evidence};

/// The kinds of channels that each account of the suite has.
const KINDS: [&str; 2] = ["MESSAGE", "CALENDAR"];
/// Number of the first start of a channel.
const FIRST: i32 = 1;

pub(super) fn check(evidence: &Evidence, people: &People<'_>, violations: &mut Violations) {
    let mut channels: BTreeMap<Uuid, Vec<&Channel>> = BTreeMap::new();
    for channel in &evidence.database.channels {
        channels.entry(channel.account).or_default().push(channel);
    }
    let mut jobs: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    for job in &evidence.database.jobs {
        *jobs.entry((job.channel, job.generation)).or_default() += 1;
    }

    for (person, of_person) in people.with_account() {
        let name = &person.name;
        let account = match of_person.accounts.as_slice() {
            [] => {
                violations.add(Kind::AccountLost, format!("{name} has no account"));
                continue;
            }
            [account] => account,
            [account, ..] => {
                let count = of_person.accounts.len();
                violations.add(Kind::AccountDoubled, format!("{name} has {count} accounts"));
                account
            }
        };
        let channels = channels.get(&account.id).map_or(&[][..], Vec::as_slice);
        for kind in KINDS {
            let mut of_kind = channels.iter().filter(|channel| channel.kind == kind);
            let Some(channel) = of_kind.next() else {
                violations.add(Kind::ChannelLost, format!("{name} has no {kind} channel"));
                continue;
            };
            if of_kind.next().is_some() {
                violations.add(
                    Kind::ChannelDoubled,
                    format!("{name} has several {kind} channels"),
                );
            }
            if !jobs.contains_key(&(channel.id, FIRST)) {
                violations.add(
                    Kind::JobLost,
                    format!("the {kind} channel of {name} has no first job"),
                );
            }
        }
    }
    for ((channel, generation), count) in jobs {
        if count > 1 {
            violations.add(
                Kind::JobDoubled,
                format!("start {generation} of channel {channel} has {count} jobs"),
            );
        }
    }
    check_founded(evidence, violations);
}

/// An account exists only if its person may have signed in.
fn check_founded(evidence: &Evidence, violations: &mut Violations) {
    let asked: BTreeSet<(&str, String)> = evidence
        .calls
        .iter()
        .filter(|call| call.operation.authenticates() && call.may_be_done())
        .map(|call| call.operation.person())
        .map(|person| (person.provider.name(), person.handle()))
        .collect();
    for account in &evidence.database.accounts {
        if !asked.contains(&(account.provider.as_str(), account.handle.clone())) {
            violations.add(
                Kind::AccountUnfounded,
                format!("{} has an account and never signed in", account.handle),
            );
        }
    }
}
