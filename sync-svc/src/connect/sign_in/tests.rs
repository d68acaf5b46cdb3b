use latchkey_proto::events::{Connection, Identity, SealedGrant as WireGrant};
use proptest::prelude::*;
use prost_types::Timestamp;

use super::*;

const NOW: i64 = 1_795_392_005;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

/// A connection at the present time, with both kinds of data granted.
fn event() -> UserAuthenticated {
    let grant = WireGrant {
        sealed_access_token: b"access".to_vec(),
        sealed_refresh_token: b"refresh".to_vec(),
        client_id: "client".to_owned(),
        ..WireGrant::default()
    };
    UserAuthenticated {
        workspace_id: "0199a000-0000-7000-8000-000000000001".to_owned(),
        user_id: "0199a000-0000-7000-8000-000000000002".to_owned(),
        identity: Some(Identity {
            provider: "google".to_owned(),
            issuer: "https://accounts.google.com".to_owned(),
            subject: "1234".to_owned(),
            handle: "tim@apple.dev".to_owned(),
            display_name: "Tim".to_owned(),
            handle_verified: Some(true),
        }),
        authenticated_at: Some(at(0)),
        intent: WireIntent::Connect.into(),
        connection: Some(Connection {
            grant: Some(grant),
            messages: WireAccess::Granted.into(),
            calendar: WireAccess::Granted.into(),
            ..Connection::default()
        }),
    }
}

/// The time `nanos` nanoseconds after [`NOW`].
fn at(nanos: i64) -> Timestamp {
    Timestamp {
        seconds: NOW + nanos.div_euclid(1_000_000_000),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap(),
    }
}

fn read(change: impl FnOnce(&mut UserAuthenticated)) -> Result<SignIn, InvalidSignIn> {
    let mut event = event();
    change(&mut event);
    SignIn::read(event, now()).map(|read| read.expect("something to connect"))
}

fn grant(event: &mut UserAuthenticated) -> &mut WireGrant {
    event.connection.as_mut().unwrap().grant.as_mut().unwrap()
}

/// A day in nanoseconds.
const DAY: i64 = 86_400_000_000_000;

#[test]
fn a_sign_in_may_be_up_to_one_day_in_the_future() {
    let ahead = |nanos| read(|event| event.authenticated_at = Some(at(nanos))).map(drop);
    for valid in [-400 * DAY, -DAY, -1_000, 0, 1_000, DAY - 1_000, DAY] {
        assert_eq!(ahead(valid), Ok(()), "{valid}");
    }
    for wrong in [DAY + 1_000, 2 * DAY] {
        assert_eq!(ahead(wrong), Err(InvalidSignIn::InFuture), "{wrong}");
    }
}

/// A timestamp out of range.
const NEVER: Option<Timestamp> = Some(Timestamp {
    seconds: i64::MAX,
    nanos: 0,
});

/// A change of a valid event.
type Change = fn(&mut UserAuthenticated);

#[test]
fn a_missing_field_and_an_invalid_time_are_named() {
    let wrong: [(InvalidSignIn, Change); 7] = [
        (InvalidSignIn::Missing("identity"), |event| {
            event.identity = None;
        }),
        (InvalidSignIn::Missing("grant"), |event| {
            event.connection.as_mut().unwrap().grant = None;
        }),
        (
            InvalidSignIn::Missing("grant.sealed_access_token"),
            |event| {
                grant(event).sealed_access_token.clear();
            },
        ),
        (InvalidSignIn::Missing("authenticated_at"), |event| {
            event.authenticated_at = None;
        }),
        (InvalidSignIn::Time("authenticated_at"), |event| {
            event.authenticated_at = NEVER;
        }),
        (InvalidSignIn::Time("access_token_expires_at"), |event| {
            grant(event).access_token_expires_at = NEVER;
        }),
        (InvalidSignIn::Time("refresh_token_expires_at"), |event| {
            grant(event).refresh_token_expires_at = NEVER;
        }),
    ];
    for (reason, change) in wrong {
        assert_eq!(read(change).err(), Some(reason));
    }
}

// In the wire format an absent text or token is an empty one.
#[test]
fn an_empty_refresh_token_and_an_empty_client_count_as_absent() {
    let whole = read(|_| ()).unwrap();
    assert_eq!(whole.sealed.refresh_token.as_deref(), Some(&b"refresh"[..]));
    assert!(whole.grant.has_refresh_token);
    assert_eq!(whole.sealed.client_id.as_deref(), Some("client"));
    let without = read(|event| {
        grant(event).sealed_refresh_token.clear();
        grant(event).client_id.clear();
    });
    let without = without.unwrap();
    assert_eq!(without.sealed.refresh_token, None);
    assert!(!without.grant.has_refresh_token);
    assert_eq!(without.sealed.client_id, None);
}

#[test]
fn an_event_without_a_connection_is_ignored() {
    let mut plain = event();
    plain.connection = None;
    // The other fields are not read.
    plain.identity = None;
    assert!(SignIn::read(plain, now()).unwrap().is_none());
}

#[test]
fn the_debug_output_contains_no_sealed_token() {
    let shown = format!("{:?}", read(|_| ()).unwrap());
    assert!(shown.contains("SealedGrant([sealed])"), "{shown}");
    let bytes = format!("{:?}", b"refresh");
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

const INTENTS: [WireIntent; 3] = [
    WireIntent::Unspecified,
    WireIntent::SignIn,
    WireIntent::Connect,
];

const ACCESSES: [(WireAccess, Access); 4] = [
    (WireAccess::Unspecified, Access::NotWanted),
    (WireAccess::NotWanted, Access::NotWanted),
    (WireAccess::Granted, Access::Granted),
    (WireAccess::Denied, Access::Denied),
];

const OF_MESSAGES: [(MessageVisibility, Option<&str>); 4] = [
    (MessageVisibility::Unspecified, None),
    (MessageVisibility::Metadata, Some("METADATA")),
    (MessageVisibility::Subject, Some("SUBJECT")),
    (MessageVisibility::ShareEverything, Some("SHARE_EVERYTHING")),
];

const OF_CALENDAR: [(CalendarVisibility, Option<&str>); 3] = [
    (CalendarVisibility::Unspecified, None),
    (CalendarVisibility::Metadata, Some("METADATA")),
    (
        CalendarVisibility::ShareEverything,
        Some("SHARE_EVERYTHING"),
    ),
];

proptest! {
    // R16: a visibility is chosen by the person, and a plain sign-in carries none.
    #[test]
    fn each_kind_has_its_own_access_and_a_choice_counts_only_in_a_connection(
        intent in prop::sample::select(&INTENTS[..]),
        messages in prop::sample::select(&ACCESSES[..]),
        calendar in prop::sample::select(&ACCESSES[..]),
        of_messages in prop::sample::select(&OF_MESSAGES[..]),
        of_calendar in prop::sample::select(&OF_CALENDAR[..]),
    ) {
        let read = read(|event| {
            event.intent = intent.into();
            let connection = event.connection.as_mut().unwrap();
            connection.messages = messages.0.into();
            connection.calendar = calendar.0.into();
            connection.message_visibility = of_messages.0.into();
            connection.calendar_visibility = of_calendar.0.into();
        }).unwrap();
        let connects = intent == WireIntent::Connect;
        prop_assert_eq!(read.grant.intent == Intent::Connect, connects);
        let chosen = |word: Option<&'static str>| word.filter(|_| connects);
        let wanted = |access, word| WantedChannel { access, visibility: chosen(word) };
        prop_assert_eq!(read.channels(), [
            (Kind::Message, wanted(messages.1, of_messages.1)),
            (Kind::Calendar, wanted(calendar.1, of_calendar.1)),
        ]);
    }
}

proptest! {
    #[test]
    fn no_timestamp_panics_and_times_are_whole_microseconds(seconds in any::<i64>(), nanos in any::<i32>()) {
        let time = time_to_microsecond(Timestamp { seconds, nanos });
        prop_assert!(time.is_none_or(|time| time.nanosecond() % 1_000 == 0));
    }
}
