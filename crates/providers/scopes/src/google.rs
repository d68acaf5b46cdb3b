//! Google's scopes.

use std::borrow::Cow;

use latchkey_domain::ProviderName;

use crate::facts::{Facts, Row, Writing};

pub(crate) const FACTS: Facts = Facts {
    provider: ProviderName::GOOGLE,
    canonical: |scope| Cow::Borrowed(canonical(scope)),
    rows: TABLE,
    writing: Writing {
        change_mail: &["gmail.modify", "mail.google.com"],
        send_mail: &["gmail.send", "gmail.compose"],
        change_events: &["auth/calendar.events"],
        read_events: &["calendar.events.readonly"],
    },
};

const PREFIX: &str = "https://www.googleapis.com/auth/";

/// Google's responses have the long name of an identity scope
/// (<https://developers.google.com/identity/protocols/oauth2/scopes#oauth2>), and
/// `https://www.google.com/m8/feeds` is the older name of `contacts`
/// (<https://developers.google.com/people/contacts-api-migration>).
fn canonical(scope: &str) -> &str {
    match scope.strip_prefix(PREFIX) {
        Some("userinfo.email") => "email",
        Some("userinfo.profile") => "profile",
        Some(short) => short,
        None => match scope {
            "https://www.google.com/m8/feeds" | "https://www.google.com/m8/feeds/" => "contacts",
            "https://mail.google.com" => "https://mail.google.com/",
            other => other,
        },
    }
}

const GMAIL: &str = "https://developers.google.com/workspace/gmail/api/auth/scopes";
const SEND: &str =
    "https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send";
const GET: &str =
    "https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/get";
const DRAFT: &str =
    "https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.drafts/create";
const INSERT: &str =
    "https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/insert";
const LABELS: &str =
    "https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.labels/create";
const EVENTS: &str =
    "https://developers.google.com/workspace/calendar/api/v3/reference/events/list";
const CALENDAR: &str = "https://developers.google.com/workspace/calendar/api/auth";
const FREEBUSY: &str =
    "https://developers.google.com/workspace/calendar/api/v3/reference/freebusy/query";
const SETTINGS: &str =
    "https://developers.google.com/workspace/calendar/api/v3/reference/settings/list";
const DRIVE: &str = "https://developers.google.com/workspace/drive/api/guides/api-specific-auth";
const PEOPLE: &str = "https://developers.google.com/people/api/rest/v1/people.connections/list";
const TASKS: &str = "https://developers.google.com/workspace/tasks/auth";

/// Google documents for each method of an API the scopes of which one is sufficient. A
/// scope includes a narrower one if every method that accepts the narrower one accepts it.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("https://mail.google.com/", &["gmail.modify"], GMAIL),
    ("gmail.modify", &["gmail.readonly"], GET),
    ("gmail.modify", &["gmail.compose"], DRAFT),
    ("gmail.modify", &["gmail.insert"], INSERT),
    ("gmail.modify", &["gmail.labels"], LABELS),
    ("gmail.compose", &["gmail.send"], SEND),
    ("gmail.readonly", &["gmail.metadata"], GET),
    ("calendar", &["calendar.readonly", "calendar.events"], EVENTS),
    ("calendar", &["calendar.acls", "calendar.calendarlist", "calendar.calendars", "calendar.events.owned"], CALENDAR),
    ("calendar.readonly", &["calendar.events.readonly"], EVENTS),
    ("calendar.readonly", &["calendar.freebusy"], FREEBUSY),
    ("calendar.readonly", &["calendar.settings.readonly"], SETTINGS),
    ("calendar.readonly", &["calendar.acls.readonly", "calendar.calendarlist.readonly", "calendar.calendars.readonly"], CALENDAR),
    ("calendar.events", &["calendar.events.readonly", "calendar.events.owned"], EVENTS),
    ("calendar.events.owned", &["calendar.events.owned.readonly"], CALENDAR),
    ("calendar.events.readonly", &["calendar.events.owned.readonly"], CALENDAR),
    ("calendar.acls", &["calendar.acls.readonly"], CALENDAR),
    ("calendar.calendarlist", &["calendar.calendarlist.readonly"], CALENDAR),
    ("calendar.calendars", &["calendar.calendars.readonly"], CALENDAR),
    ("calendar.freebusy", &["calendar.events.freebusy"], FREEBUSY),
    ("contacts", &["contacts.readonly"], PEOPLE),
    ("drive", &["drive.readonly", "drive.file", "drive.metadata"], DRIVE),
    ("drive.readonly", &["drive.metadata.readonly"], DRIVE),
    ("drive.metadata", &["drive.metadata.readonly"], DRIVE),
    ("tasks", &["tasks.readonly"], TASKS),
];
