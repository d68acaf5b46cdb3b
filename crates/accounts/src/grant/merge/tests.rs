use latchkey_domain::ScopeSet;
use time::Duration;
use time::macros::datetime;

use super::*;

const NONE: &str = "openid";
const MAIL: &str = "openid mail";
const CONTACTS: &str = "openid contacts";
const BOTH: &str = "openid mail calendar";

/// A time in half minutes, so that there is a time between two minutes.
fn at(half_minutes: i64) -> OffsetDateTime {
    datetime!(2026-11-24 08:00 UTC) + Duration::seconds(30 * half_minutes)
}

fn grant(minute: i64, scopes: &str, has_refresh_token: bool) -> Grant {
    Grant {
        authenticated_at: at(2 * minute),
        scopes: ScopeSet::parse(scopes),
        has_refresh_token,
        intent: Intent::SignIn,
    }
}

fn connection(minute: i64, scopes: &str) -> Grant {
    Grant {
        intent: Intent::Connect,
        ..grant(minute, scopes, true)
    }
}

/// The state after the grant, as the store writes it.
fn after(stored: &StoredGrants, grant: &Grant) -> StoredGrants {
    let Decision::Take(merged) = decide(Some(stored), grant) else {
        return stored.clone();
    };
    let mut next = stored.clone();
    if !stored.is_alive() {
        next.deaths.extend(stored.death());
        next.died_at = None;
    }
    if merged.access == Source::Incoming {
        next.access = Some(grant.origin());
        next.access_issued_at = Some(grant.authenticated_at);
    }
    match merged.refresh {
        Source::Stored => {}
        Source::Incoming => next.refresh = Some(grant.origin()),
        Source::Nothing => next.refresh = None,
    }
    next
}

fn stored(minute: i64, scopes: &str, has_refresh_token: bool) -> StoredGrants {
    after(
        &StoredGrants::default(),
        &grant(minute, scopes, has_refresh_token),
    )
}

fn refused(stored: StoredGrants, half_minutes: i64) -> StoredGrants {
    StoredGrants {
        died_at: Some(at(half_minutes)),
        ..stored
    }
}

fn disconnected(stored: &StoredGrants, half_minutes: i64) -> StoredGrants {
    StoredGrants {
        not_before: Some(at(half_minutes)),
        deaths: stored.deaths.clone(),
        ..StoredGrants::default()
    }
}

fn take(access: Source, refresh: Source) -> Decision {
    Decision::Take(Merged { access, refresh })
}

// R21
#[test]
fn an_older_grant_never_overwrites_a_newer_one() {
    let newer = stored(5, MAIL, true);
    for minute in [4, 5] {
        let older = grant(minute, MAIL, true);
        assert_eq!(decide(Some(&newer), &older), Decision::KeepStored);
    }
}

// R21; the replaced system overwrote the mailbox's scopes at every login.
#[test]
fn a_plain_sign_in_never_replaces_a_living_mailbox_grant() {
    let wide = stored(0, MAIL, true);
    let plain = grant(5, NONE, true);
    assert_eq!(decide(Some(&wide), &plain), Decision::KeepStored);
}

// R22
#[test]
fn a_dead_grant_is_replaced_by_any_newer_one_and_not_by_one_that_died_with_it() {
    let dead = refused(stored(5, BOTH, true), 20);
    assert_eq!(
        decide(Some(&dead), &grant(11, MAIL, false)),
        take(Source::Incoming, Source::Nothing)
    );
    for ended in [
        grant(4, BOTH, true),
        grant(7, MAIL, true),
        grant(7, BOTH, false),
    ] {
        assert_eq!(decide(Some(&dead), &ended), Decision::KeepDead);
    }
}

// R22: the person signed in again shortly before the old grant was found dead.
#[test]
fn a_grant_that_would_have_replaced_the_dead_one_repairs_it_although_it_comes_late() {
    let dead = refused(stored(5, MAIL, true), 20);
    assert_eq!(
        decide(Some(&dead), &grant(7, MAIL, true)),
        take(Source::Incoming, Source::Incoming)
    );
}

// R22
#[test]
fn a_grant_that_was_found_dead_stays_dead_after_its_repair() {
    let repaired = after(&refused(stored(5, BOTH, true), 20), &grant(11, MAIL, true));
    for ended in [grant(4, BOTH, true), grant(5, BOTH, true)] {
        assert_eq!(decide(Some(&repaired), &ended), Decision::KeepDead);
    }
}

// R5, R31
#[test]
fn a_living_refresh_token_is_never_erased() {
    let stored = stored(0, MAIL, true);
    assert_eq!(
        decide(Some(&stored), &grant(5, MAIL, false)),
        take(Source::Incoming, Source::Stored)
    );
}

// R5
#[test]
fn a_refresh_token_that_arrives_late_is_not_lost() {
    for scopes in [MAIL, NONE] {
        let without = stored(5, MAIL, false);
        assert_eq!(
            decide(Some(&without), &grant(4, scopes, true)),
            take(Source::Stored, Source::Incoming)
        );
    }
}

#[test]
fn an_access_token_older_than_the_last_refresh_is_not_taken() {
    let refreshed = StoredGrants {
        access_issued_at: Some(at(2 * 8)),
        ..stored(0, MAIL, true)
    };
    let decision = |minute| decide(Some(&refreshed), &grant(minute, MAIL, false));
    assert_eq!(decision(7), Decision::KeepStored);
    assert_eq!(decision(9), take(Source::Incoming, Source::Stored));
}

// R27
#[test]
fn only_a_later_deliberate_connection_revives_a_disconnected_account() {
    let gone = disconnected(&stored(0, BOTH, true), 10);
    for refused in [
        grant(2, BOTH, true),
        connection(3, BOTH),
        connection(5, BOTH),
        grant(7, BOTH, true),
    ] {
        assert_eq!(decide(Some(&gone), &refused), Decision::KeepDisconnected);
    }
    let back = after(&gone, &connection(8, MAIL));
    assert!(back.is_alive());
    for refused in [
        grant(2, BOTH, true),
        connection(3, BOTH),
        grant(9, BOTH, true),
    ] {
        assert_eq!(decide(Some(&back), &refused), Decision::KeepDisconnected);
    }
    assert_eq!(
        decide(Some(&back), &connection(9, BOTH)),
        take(Source::Incoming, Source::Incoming)
    );
}

// R27: the disconnect is stored, and the tokens are not erased yet.
#[test]
fn a_connection_replaces_a_wider_grant_that_is_being_disconnected() {
    let going = StoredGrants {
        not_before: Some(at(10)),
        ..stored(0, BOTH, true)
    };
    assert_eq!(
        decide(Some(&going), &connection(7, MAIL)),
        take(Source::Incoming, Source::Incoming)
    );
    assert_eq!(
        decide(Some(&going), &grant(7, BOTH, true)),
        Decision::KeepDisconnected
    );
}

// R22, R27
#[test]
fn a_plain_sign_in_repairs_what_was_connected_anew_and_died() {
    let back = after(
        &disconnected(&stored(0, BOTH, true), 10),
        &connection(8, MAIL),
    );
    let dead = refused(back, 20);
    assert_eq!(
        decide(Some(&dead), &grant(9, BOTH, true)),
        Decision::KeepDisconnected
    );
    let repaired = after(&dead, &grant(11, MAIL, true));
    assert!(repaired.is_alive());
    let again = grant(12, MAIL, true);
    assert_eq!(after(&repaired, &again).refresh, Some(again.origin()));
}

// R22, R27: only a grant that died after the disconnect is repaired, by a later sign-in.
#[test]
fn a_repair_comes_after_the_death_and_the_death_after_the_disconnect() {
    let gone = disconnected(&stored(0, BOTH, true), 10);
    let dead = |half_minutes| refused(after(&gone, &connection(8, MAIL)), half_minutes);
    for (died, minute, repaired) in [(20, 11, true), (20, 10, false), (10, 11, false)] {
        assert_eq!(
            decide(Some(&dead(died)), &grant(minute, MAIL, true)) != Decision::KeepDisconnected,
            repaired,
            "died {died}, signed in at {minute}"
        );
    }
}

/// An event of an account; times are half minutes.
#[derive(Debug, Clone)]
enum HistoryEvent {
    Grant(Grant),
    /// The refresh token of the grant of this minute is refused.
    Death(i64, i64),
    Disconnect(i64),
}

impl HistoryEvent {
    fn time(&self) -> OffsetDateTime {
        match self {
            Self::Grant(grant) => grant.authenticated_at,
            Self::Death(_, time) | Self::Disconnect(time) => at(*time),
        }
    }

    fn apply(&self, stored: &StoredGrants) -> StoredGrants {
        match self {
            Self::Grant(grant) => after(stored, grant),
            Self::Death(minute, time) => {
                let hit = stored.is_alive()
                    && stored
                        .refresh
                        .as_ref()
                        .is_some_and(|it| it.authenticated_at == at(2 * minute));
                if hit {
                    refused(stored.clone(), *time)
                } else {
                    stored.clone()
                }
            }
            Self::Disconnect(time) if *stored == StoredGrants::default() => {
                unreachable!("no account {time}")
            }
            Self::Disconnect(time) => disconnected(stored, *time),
        }
    }
}

/// The part of the state that has to be equal: the tokens, if they can be used.
fn shown(stored: &StoredGrants) -> Option<(Option<Origin>, Option<Origin>)> {
    stored
        .is_alive()
        .then(|| (stored.access.clone(), stored.refresh.clone()))
}

/// Asserts that every order in which the events can arrive leads to the same state as
/// the order of their times. By induction over the sets of events that have arrived: the
/// state does not depend on which one arrived last. Returns the number of last steps.
fn same_in_every_order(events: &[HistoryEvent], exactly: bool) -> usize {
    let all = 1_usize << events.len();
    let has = |set: usize, index: usize| (set >> index) & 1 == 1;
    // Deaths and disconnects are stored at their time: after the grants that they are
    // about, and before whatever the person does later.
    let comes_after = |set: usize, index: usize| match &events[index] {
        HistoryEvent::Grant(grant) => events.iter().enumerate().all(|(other, event)| {
            matches!(event, HistoryEvent::Grant(_))
                || has(set, other)
                || event.time() > grant.authenticated_at
        }),
        HistoryEvent::Death(minute, _) => events.iter().enumerate().any(|(other, event)| {
            matches!(event, HistoryEvent::Grant(grant) if grant.authenticated_at == at(2 * minute))
                && has(set, other)
        }),
        HistoryEvent::Disconnect(_) => set != 0,
    };
    let mut states: Vec<Option<StoredGrants>> = vec![None; all];
    states[0] = Some(StoredGrants::default());
    let mut steps = 0;
    for set in 1..all {
        // The latest event as the last one comes first: the order of the times, if it
        // exists.
        let mut lasts: Vec<usize> = (0..events.len()).filter(|index| has(set, *index)).collect();
        lasts.sort_by_key(|index| std::cmp::Reverse(events[*index].time()));
        for last in lasts {
            let before = set & !(1 << last);
            let Some(state) = states[before].clone() else {
                continue;
            };
            if !comes_after(before, last) {
                continue;
            }
            steps += 1;
            let next = events[last].apply(&state);
            match &states[set] {
                None => states[set] = Some(next),
                Some(first) if exactly => {
                    assert_eq!(
                        shown(first),
                        shown(&next),
                        "{:?} last of {events:#?}",
                        events[last]
                    );
                }
                Some(first) => {
                    let refresh = |stored: &StoredGrants| shown(stored).map(|(_, refresh)| refresh);
                    assert_eq!(
                        refresh(first),
                        refresh(&next),
                        "{:?} last of {events:#?}",
                        events[last]
                    );
                }
            }
        }
    }
    steps
}

/// Every choice of up to `most` elements of `kinds`, in order.
fn sequences<T: Clone>(kinds: &[T], most: u32) -> impl Iterator<Item = Vec<T>> {
    (1..=most).flat_map(move |length| {
        (0..kinds.len().pow(length)).map(move |mut number| {
            (0..length)
                .map(|_| {
                    let kind = kinds[number % kinds.len()].clone();
                    number /= kinds.len();
                    kind
                })
                .collect()
        })
    })
}

fn events_of(grants: &[(&str, bool, Intent)]) -> Vec<HistoryEvent> {
    (1..)
        .zip(grants)
        .map(|(minute, (scopes, has_refresh_token, intent))| {
            HistoryEvent::Grant(Grant {
                intent: *intent,
                ..grant(minute, scopes, *has_refresh_token)
            })
        })
        .collect()
}

fn kinds(
    scopes: &[&'static str],
    refresh: &[bool],
    intents: &[Intent],
) -> Vec<(&'static str, bool, Intent)> {
    scopes
        .iter()
        .flat_map(|scopes| refresh.iter().map(move |refresh| (*scopes, *refresh)))
        .flat_map(|(scopes, refresh)| intents.iter().map(move |intent| (scopes, refresh, *intent)))
        .collect()
}

const BOTH_INTENTS: [Intent; 2] = [Intent::SignIn, Intent::Connect];

// R21, R27: with and without refresh token; narrower, equal and wider scopes, and scopes
// of which neither covers the other.
#[test]
fn every_order_of_every_set_of_up_to_four_grants_ends_the_same() {
    let kinds = kinds(
        &[NONE, MAIL, CONTACTS, BOTH],
        &[false, true],
        &[Intent::SignIn],
    );
    let steps: usize = sequences(&kinds, 4)
        .map(|grants| same_in_every_order(&events_of(&grants), true))
        .sum();
    assert!(steps > 100_000, "{steps}");
}

// R22, R27: any of them is found dead at any time after it.
#[test]
fn every_order_of_up_to_four_grants_of_which_one_dies_ends_the_same() {
    let kinds = kinds(&[NONE, MAIL, BOTH], &[false, true], &[Intent::SignIn]);
    for grants in sequences(&kinds, 4) {
        // Whether an access token that cannot be refreshed survives the refusal of a
        // refresh token stored with it depends on what was tried.
        let exactly = grants.iter().all(|(_, refresh, _)| *refresh);
        let latest = i64::try_from(grants.len()).unwrap();
        for (minute, (_, refresh, _)) in (1..).zip(&grants) {
            for after in (minute..=latest).filter(|_| *refresh) {
                let mut events = events_of(&grants);
                events.push(HistoryEvent::Death(minute, 2 * after + 1));
                same_in_every_order(&events, exactly);
            }
        }
    }
}

// R27, R37: the account is disconnected at any time among them.
#[test]
fn every_order_of_up_to_four_grants_and_a_disconnect_ends_the_same() {
    let kinds = kinds(&[NONE, MAIL, BOTH], &[false, true], &BOTH_INTENTS);
    for (index, grants) in sequences(&kinds, 4).enumerate() {
        let latest = i64::try_from(grants.len()).unwrap();
        // Every seventh set of four grants: 7 is prime, so each kind occurs in each
        // place.
        if latest == 4 && index % 7 != 0 {
            continue;
        }
        for after in 1..=latest {
            let mut events = events_of(&grants);
            events.push(HistoryEvent::Disconnect(2 * after + 1));
            same_in_every_order(&events, true);
        }
    }
}
