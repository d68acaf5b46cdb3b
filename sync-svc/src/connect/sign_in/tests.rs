use latchkey_proto::events::{Connection, Identity, SealedGrant as WireGrant};
use proptest::prelude::*;
use prost_types::Timestamp;

use super::*;

const NOW: i64 = 1_795_392_005;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

/// A deliberate connection of now, of which both kinds are granted.
fn event() -> UserAuthenticated {
    let grant = WireGrant {
        access_token: b"access".to_vec(),
        refresh_token: b"refresh".to_vec(),
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

/// So many nanoseconds after now.
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

/// In nanoseconds.
const DAY: i64 = 86_400_000_000_000;

#[test]
fn a_sign_in_lies_up_to_a_day_ahead() {
    let ahead = |nanos| read(|event| event.authenticated_at = Some(at(nanos))).map(drop);
    for sound in [-400 * DAY, -DAY, -1_000, 0, 1_000, DAY - 1_000, DAY] {
        assert_eq!(ahead(sound), Ok(()), "{sound}");
    }
    for wrong in [DAY + 1_000, 2 * DAY] {
        assert_eq!(ahead(wrong), Err(InvalidSignIn::Ahead), "{wrong}");
    }
}

/// No time that there is.
const NEVER: Option<Timestamp> = Some(Timestamp {
    seconds: i64::MAX,
    nanos: 0,
});

/// What is done to a sound event.
type Change = fn(&mut UserAuthenticated);

#[test]
fn what_is_missing_or_is_no_time_is_named() {
    let wrong: [(InvalidSignIn, Change); 7] = [
        (InvalidSignIn::Missing("identity"), |event| {
            event.identity = None;
        }),
        (InvalidSignIn::Missing("grant"), |event| {
            event.connection.as_mut().unwrap().grant = None;
        }),
        (InvalidSignIn::Missing("grant.access_token"), |event| {
            grant(event).access_token.clear();
        }),
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

// Wire format: an empty text or an empty token is how absence travels.
#[test]
fn an_empty_refresh_token_and_an_empty_client_count_as_absent() {
    let whole = read(|_| ()).unwrap();
    assert_eq!(whole.sealed.refresh_token.as_deref(), Some(&b"refresh"[..]));
    assert!(whole.grant.has_refresh_token);
    assert_eq!(whole.sealed.client_id.as_deref(), Some("client"));
    let without = read(|event| {
        grant(event).refresh_token.clear();
        grant(event).client_id.clear();
    });
    let without = without.unwrap();
    assert_eq!(without.sealed.refresh_token, None);
    assert!(!without.grant.has_refresh_token);
    assert_eq!(without.sealed.client_id, None);
}

#[test]
fn what_has_nothing_to_connect_is_read_as_nothing() {
    let mut plain = event();
    plain.connection = None;
    // Not even the rest is looked at.
    plain.identity = None;
    assert!(SignIn::read(plain, now()).unwrap().is_none());
}

#[test]
fn no_line_of_a_log_holds_a_sealed_token() {
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
    // R16: who sees what is a choice, and a plain sign-in carries none.
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
        let wanted = |access, word| Wanted { access, visibility: chosen(word) };
        prop_assert_eq!(read.wanted(), [
            (Kind::Message, wanted(messages.1, of_messages.1)),
            (Kind::Calendar, wanted(calendar.1, of_calendar.1)),
        ]);
    }
}
