//! A clean history has no violation, and each planted fault is found.

use uuid::Uuid;

use super::check;
use super::violation::Kind;
use crate::evidence::{Account, Channel, Database, Evidence, Given, Job, Presented};
use crate::fault::{ClockFault, Fault};
use crate::history::{
    Answer, Call, Choice, FaultSpan, Moment, Operation, Person, Provider, Reached,
};
use crate::part::Target;
use crate::planted::Fate;
use crate::point::{Point, PointSignal};

const SECOND: u64 = 1_000_000;

fn ada() -> Person {
    Person {
        name: "ada".to_owned(),
        provider: Provider::Strict,
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn call(operation: Operation, (asked, answered): (u64, u64), answer: Answer) -> Call {
    Call {
        operation,
        asked: Moment(asked * SECOND),
        answered: Moment(answered * SECOND),
        answer,
    }
}

fn unanswered(operation: Operation, asked: u64) -> Call {
    Call {
        operation,
        asked: Moment(asked * SECOND),
        answered: Moment::NEVER,
        answer: Answer::Unknown {
            error: "no answer".to_owned(),
        },
    }
}

fn sign_in() -> Operation {
    Operation::SignIn { person: ada() }
}

fn connect(messages: &str) -> Operation {
    Operation::Connect {
        person: ada(),
        choice: Choice {
            messages: messages.to_owned(),
            calendar: "METADATA".to_owned(),
        },
    }
}

fn disconnect() -> Operation {
    Operation::Disconnect {
        person: ada(),
        account: id(1),
    }
}

fn token(last: bool) -> Operation {
    Operation::Token {
        person: ada(),
        account: id(1),
        last,
    }
}

fn given(version: i64) -> Answer {
    Answer::Token {
        version,
        accepted: Some(true),
    }
}

/// Ada signs in, connects with a choice, and gets tokens.
fn clean() -> Evidence {
    let channel = |number, kind: &str, visibility: &str| Channel {
        id: id(number),
        account: id(1),
        kind: kind.to_owned(),
        visibility: visibility.to_owned(),
    };
    let job = |number, channel| Job {
        id: id(number),
        channel: id(channel),
        generation: 1,
    };
    let presented = |token: &str, at| Presented {
        token: token.to_owned(),
        person: "ada".to_owned(),
        at: Moment(at * SECOND),
        accepted: true,
    };
    Evidence {
        calls: vec![
            call(sign_in(), (10, 11), Answer::Done),
            call(connect("SUBJECT"), (20, 21), Answer::Done),
            call(token(false), (30, 31), given(2)),
            call(token(false), (32, 33), given(3)),
            call(token(true), (90, 91), given(4)),
        ],
        faults: Vec::new(),
        database: Database {
            accounts: vec![Account {
                id: id(1),
                provider: "demo".to_owned(),
                handle: "ada@acme.example".to_owned(),
                last_authenticated: Moment(20 * SECOND + 1),
                disconnected: false,
                has_tokens: true,
                credential_authenticated: Some(Moment(20 * SECOND + 1)),
                failed: false,
            }],
            channels: vec![
                channel(2, "MESSAGE", "SUBJECT"),
                channel(3, "CALENDAR", "METADATA"),
            ],
            jobs: vec![job(4, 2), job(5, 3)],
            committed: [(id(6), "user.authenticated.v1".to_owned())].into(),
            applied: [id(6)].into(),
        },
        seen: [(id(6), 2)].into(),
        parked: [id(99)].into(),
        planted: [(id(99), Fate::Parked)].into(),
        presented: vec![presented("first", 40), presented("second", 50)],
        given: vec![given_token(30)],
        unsettled: String::new(),
    }
}

/// A token of Ada that is issued at 28 s, expires at 38 s, and is asked for at this second.
fn given_token(asked: u64) -> Given {
    Given {
        person: "ada".to_owned(),
        asked: Moment(asked * SECOND),
        answered: Moment((asked + 1) * SECOND),
        issued: Moment(28 * SECOND),
        expires: Moment(38 * SECOND),
    }
}

#[track_caller]
fn finds(kind: Kind, plant: impl FnOnce(&mut Evidence)) {
    let mut evidence = clean();
    plant(&mut evidence);
    let kinds: Vec<Kind> = check(&evidence).into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [kind]);
}

#[track_caller]
fn finds_nothing(plant: impl FnOnce(&mut Evidence)) {
    let mut evidence = clean();
    plant(&mut evidence);
    assert_eq!(check(&evidence), []);
}

/// Ada disconnects, and nothing of hers is used any more.
fn disconnected(evidence: &mut Evidence) {
    evidence
        .calls
        .retain(|call| call.asked < Moment(90 * SECOND));
    evidence
        .calls
        .push(call(disconnect(), (60, 61), Answer::Done));
    let account = evidence.database.accounts.first_mut().unwrap();
    account.disconnected = true;
    account.has_tokens = false;
}

#[test]
fn a_clean_history_has_no_violation() {
    finds_nothing(|_| {});
    finds_nothing(disconnected);
}

#[test]
fn a_sign_in_that_was_not_confirmed_may_have_an_account_or_none() {
    for has_account in [false, true] {
        finds_nothing(|evidence| {
            evidence.calls = vec![unanswered(sign_in(), 10)];
            if !has_account {
                evidence.database.accounts.clear();
                evidence.database.channels.clear();
                evidence.database.jobs.clear();
            }
        });
    }
}

#[test]
fn a_lost_a_doubled_and_an_unfounded_account_are_found() {
    finds(Kind::AccountLost, |evidence| {
        evidence.database.accounts.clear();
    });
    finds(Kind::AccountDoubled, |evidence| {
        let mut second = evidence.database.accounts.first().unwrap().clone();
        second.id = id(7);
        evidence.database.accounts.push(second);
    });
    finds(Kind::AccountUnfounded, |evidence| {
        let mut other = evidence.database.accounts.first().unwrap().clone();
        other.handle = "grace@acme.example".to_owned();
        evidence.database.accounts.push(other);
    });
}

#[test]
fn a_lost_and_a_doubled_channel_are_found() {
    finds(Kind::ChannelLost, |evidence| {
        evidence.database.channels.pop();
    });
    finds(Kind::ChannelDoubled, |evidence| {
        let mut second = evidence.database.channels.first().unwrap().clone();
        second.id = id(7);
        evidence.database.channels.push(second);
    });
}

#[test]
fn a_lost_and_a_doubled_first_job_are_found() {
    finds(Kind::JobLost, |evidence| {
        evidence.database.jobs.pop();
    });
    finds(Kind::JobDoubled, |evidence| {
        let mut second = evidence.database.jobs.first().unwrap().clone();
        second.id = id(7);
        evidence.database.jobs.push(second);
    });
}

#[test]
fn a_lost_an_unfounded_and_a_parked_event_are_found() {
    finds(Kind::EventLost, |evidence| {
        let lost = (id(8), "account.connected.v1".to_owned());
        evidence.database.committed.extend([lost]);
    });
    finds(Kind::EventUnfounded, |evidence| {
        evidence.seen.insert(id(8), 1);
    });
    finds(Kind::EventParked, |evidence| {
        evidence.parked.insert(id(6));
        evidence.database.applied.clear();
    });
    // The inbox is evidence too.
    finds_nothing(|evidence| evidence.seen.clear());
}

#[test]
fn a_sign_in_that_was_not_applied_and_one_that_never_was_are_found() {
    finds(Kind::CredentialsStale, |evidence| {
        let account = evidence.database.accounts.first_mut().unwrap();
        account.last_authenticated = Moment(10 * SECOND + 1);
    });
    finds(Kind::CredentialsStale, |evidence| {
        let account = evidence.database.accounts.first_mut().unwrap();
        account.last_authenticated = Moment(25 * SECOND);
    });
    finds(Kind::CredentialsStale, |evidence| {
        let account = evidence.database.accounts.first_mut().unwrap();
        account.credential_authenticated = Some(Moment(10 * SECOND + 1));
    });
}

#[test]
fn lost_credentials_are_found() {
    finds(Kind::CredentialsLost, |evidence| {
        let account = evidence.database.accounts.first_mut().unwrap();
        account.has_tokens = false;
    });
    finds(Kind::CredentialsLost, |evidence| {
        let account = evidence.database.accounts.first_mut().unwrap();
        account.failed = true;
    });
    for answer in [
        Answer::Token {
            version: 4,
            accepted: Some(false),
        },
        Answer::Refused {
            reason: "ROTATION_LOST".to_owned(),
        },
    ] {
        finds(Kind::CredentialsLost, |evidence| {
            evidence.calls.last_mut().unwrap().answer = answer;
        });
    }
}

#[test]
fn an_older_choice_is_found() {
    finds(Kind::ChoiceStale, |evidence| {
        let channel = evidence.database.channels.first_mut().unwrap();
        channel.visibility = "SHARE_EVERYTHING".to_owned();
    });
    // A connection whose answer is missing may have come later.
    finds_nothing(|evidence| {
        let late = unanswered(connect("METADATA"), 15);
        evidence.calls.push(late);
        let channel = evidence.database.channels.first_mut().unwrap();
        channel.visibility = "METADATA".to_owned();
    });
}

#[test]
fn a_disconnect_and_a_connection_that_did_not_last_are_found() {
    finds(Kind::ConnectionWrong, |evidence| {
        disconnected(evidence);
        let account = evidence.database.accounts.first_mut().unwrap();
        account.disconnected = false;
    });
    finds(Kind::ConnectionWrong, |evidence| {
        disconnected(evidence);
        let again = call(connect("SUBJECT"), (70, 71), Answer::Done);
        evidence.calls.push(again);
        let account = evidence.database.accounts.first_mut().unwrap();
        account.has_tokens = true;
        account.last_authenticated = Moment(70 * SECOND + 1);
        account.credential_authenticated = Some(Moment(70 * SECOND + 1));
    });
}

#[test]
fn a_refresh_token_that_is_spent_twice_is_found_outside_the_window() {
    let twice = |evidence: &mut Evidence| {
        let mut again = evidence.presented.first().unwrap().clone();
        again.at = Moment(55 * SECOND);
        again.accepted = false;
        evidence.presented.push(again);
    };
    let killed = |begun: u64| FaultSpan {
        fault: Fault::Killed(Target::Refresh),
        begun: Moment(begun * SECOND),
        ended: Moment((begun + 1) * SECOND),
        reached: None,
    };
    finds(Kind::RefreshTokenSpentTwice, twice);
    finds(Kind::RefreshTokenSpentTwice, |evidence| {
        twice(evidence);
        evidence.faults.push(killed(50));
    });
    // An answer that cannot be stored is lost later, and without a kill it is not lost.
    let unreachable = FaultSpan {
        fault: Fault::DatabaseKilled,
        begun: Moment(41 * SECOND),
        ended: Moment(43 * SECOND),
        reached: None,
    };
    finds(Kind::RefreshTokenSpentTwice, |evidence| {
        twice(evidence);
        evidence.faults.push(unreachable);
    });
    finds_nothing(|evidence| {
        twice(evidence);
        evidence.faults.extend([unreachable, killed(50)]);
    });
    finds_nothing(|evidence| {
        twice(evidence);
        evidence.faults.push(killed(42));
        // The strict provider has ended the grant.
        let refused = Answer::Refused {
            reason: "ROTATION_LOST".to_owned(),
        };
        evidence.calls.last_mut().unwrap().answer = refused;
        evidence.database.accounts.first_mut().unwrap().failed = true;
    });
}

#[test]
fn a_refresh_token_is_spent_twice_only_if_its_answer_may_be_lost_at_the_point() {
    let twice = |evidence: &mut Evidence, point: Point, reached: Option<(u64, u128)>| {
        let mut again = evidence.presented.first().unwrap().clone();
        again.at = Moment(55 * SECOND);
        again.accepted = false;
        evidence.presented.push(again);
        evidence.faults.push(FaultSpan {
            fault: Fault::At(point, PointSignal::Kill),
            begun: Moment(38 * SECOND),
            ended: Moment(42 * SECOND),
            reached: reached.map(|(at, account)| Reached {
                at: Moment(at * SECOND),
                account: (account != 0).then(|| id(account)),
            }),
        });
    };
    // Of the account that reached the point, nothing was asked yet or everything is stored.
    for point in [Point::LeaseTaken, Point::TokensStored] {
        finds(Kind::RefreshTokenSpentTwice, |evidence| {
            twice(evidence, point, Some((41, 1)));
        });
        // The process may have asked for another account.
        finds_nothing(|evidence| twice(evidence, point, Some((41, 7))));
    }
    for point in [Point::RequestSent, Point::AnswerRead] {
        finds_nothing(|evidence| twice(evidence, point, Some((41, 0))));
        finds_nothing(|evidence| twice(evidence, point, Some((41, 1))));
        // Nothing was broken before the point was reached.
        finds(Kind::RefreshTokenSpentTwice, |evidence| {
            twice(evidence, point, None);
        });
        finds(Kind::RefreshTokenSpentTwice, |evidence| {
            twice(evidence, point, Some((46, 1)));
        });
    }
    // Other services ask no provider.
    finds(Kind::RefreshTokenSpentTwice, |evidence| {
        twice(evidence, Point::CodeExchanged, Some((41, 0)));
    });
}

#[test]
fn a_token_after_a_revocation_is_found() {
    finds(Kind::TokenAfterRevocation, |evidence| {
        disconnected(evidence);
        let late = call(token(false), (62, 63), given(4));
        evidence.calls.push(late);
    });
    // The revocation is not confirmed yet, or the person has connected again.
    finds_nothing(|evidence| {
        disconnected(evidence);
        let at_once = call(token(false), (60, 62), given(4));
        evidence.calls.push(at_once);
    });
    finds_nothing(|evidence| {
        disconnected(evidence);
        evidence.calls.push(unanswered(connect("SUBJECT"), 70));
        let late = call(token(false), (75, 76), given(4));
        evidence.calls.push(late);
    });
}

#[test]
fn a_version_that_goes_back_is_found() {
    finds(Kind::VersionWentBack, |evidence| {
        let older = call(token(false), (34, 35), given(2));
        evidence.calls.push(older);
    });
    // Calls that overlap have no order.
    finds_nothing(|evidence| {
        let overlaps = call(token(false), (32, 34), given(2));
        evidence.calls.push(overlaps);
    });
}

#[test]
fn what_still_waits_is_found() {
    finds(Kind::NotSettled, |evidence| {
        evidence.unsettled = "2 events in outboxes".to_owned();
    });
}

#[test]
fn an_expired_token_is_found_and_one_of_a_wrong_clock_is_expected() {
    let wrong = |target, how, begun| FaultSpan {
        fault: Fault::Clock(target, how),
        begun: Moment(begun * SECOND),
        ended: Moment((begun + 4) * SECOND),
        reached: None,
    };
    finds(Kind::ExpiredTokenGiven, |evidence| {
        evidence.given.push(given_token(60));
    });
    finds_nothing(|evidence| {
        let fault = wrong(Target::Refresh, ClockFault::Behind, 58);
        evidence.faults.push(fault);
        evidence.given.push(given_token(60));
    });
    // It was later than the clock was wrong, another clock was wrong, or that was long before.
    finds(Kind::ExpiredTokenGiven, |evidence| {
        let fault = wrong(Target::Refresh, ClockFault::StepBack, 100);
        evidence.faults.push(fault);
        evidence.given.push(given_token(102));
    });
    finds(Kind::ExpiredTokenGiven, |evidence| {
        let fault = wrong(Target::Sync, ClockFault::Behind, 58);
        evidence.faults.push(fault);
        evidence.given.push(given_token(60));
    });
    finds(Kind::ExpiredTokenGiven, |evidence| {
        let fault = wrong(Target::Refresh, ClockFault::Behind, 10);
        evidence.faults.push(fault);
        evidence.given.push(given_token(60));
    });
    // One clock was ahead when the token was stored, and another one was behind when it was given.
    let both = |evidence: &mut Evidence, asked: u64| {
        let storing = wrong(Target::Auth, ClockFault::Ahead, 27);
        let judging = wrong(Target::Refresh, ClockFault::Behind, asked - 1);
        evidence.faults.extend([storing, judging]);
        evidence.given.push(given_token(asked));
    };
    finds_nothing(|evidence| both(evidence, 38 + 599));
    finds(Kind::ExpiredTokenGiven, |evidence| both(evidence, 38 + 602));
    // A clock that is behind when the token is stored makes its life shorter.
    finds(Kind::ExpiredTokenGiven, |evidence| {
        let storing = wrong(Target::Auth, ClockFault::Behind, 27);
        evidence.faults.push(storing);
        evidence.given.push(given_token(60));
    });
}

#[test]
fn a_message_of_the_suite_that_does_not_become_what_it_has_to_is_found() {
    finds(Kind::MessageNotParked, |evidence| {
        evidence.planted.insert(id(98), Fate::Parked);
    });
    finds(Kind::MessageNotParked, |evidence| {
        evidence.database.applied.insert(id(99));
    });
    finds(Kind::MessageNotApplied, |evidence| {
        evidence.planted.insert(id(98), Fate::Applied);
    });
    finds(Kind::EventParked, |evidence| {
        evidence.parked.insert(id(97));
    });
    finds_nothing(|evidence| {
        evidence.planted.insert(id(98), Fate::Applied);
        evidence.database.applied.insert(id(98));
    });
}
