//! The wording of states, times and permissions on the pages.

use latchkey_domain::{Handle, ScopeSet};
use latchkey_proto::account::{Account, Channel, ChannelKind, SyncStatus};
use latchkey_providers::WriteAccess;
use prost_types::Timestamp;
use time::OffsetDateTime;

/// Stage of a channel that waits until the person starts it (R24).
const WAITS: &str = "PENDING_CONFIGURATION";

/// Formats an address for people, with an international domain in its own script.
pub fn address(stored: &str) -> String {
    stored
        .parse::<Handle>()
        .map_or_else(|_| stored.to_owned(), |handle| handle.for_people())
}

/// Tone of a state, which decides the colour of its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Everything works.
    Good,
    /// Work is in progress.
    Busy,
    /// The person may do something.
    Wait,
    /// The person must do something.
    Bad,
}

impl Tone {
    /// Returns the CSS class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Wait => "wait",
            Self::Bad => "bad",
        }
    }
}

/// Returns `true` if the channel waits until the person starts it.
pub fn waits(channel: &Channel) -> bool {
    channel.sync_status() == SyncStatus::NotSynced && channel.sync_stage == WAITS
}

/// Returns `true` if the channel failed and the person can only try again.
pub fn failed(channel: &Channel) -> bool {
    channel.sync_status() == SyncStatus::FailedUnknown
}

/// Returns `true` if the sync waits until a worker starts it.
fn queued(channel: &Channel) -> bool {
    const STAGES: [&str; 2] = ["LIST_FETCH_PENDING", "LIST_FETCH_SCHEDULED"];
    STAGES
        .iter()
        .any(|stage| channel.sync_stage.ends_with(stage))
}

/// Returns `true` if the person has to reconnect the account.
pub fn needs_the_person(account: &Account) -> bool {
    account.auth_failed_at.is_some()
        || account
            .channels
            .iter()
            .any(|channel| channel.sync_status() == SyncStatus::FailedInsufficientPermissions)
}

/// If a first sync waits longer than this, the page says so.
const SOON: time::Duration = time::Duration::hours(1);

/// Returns the state of a channel: its tone, its label, and an explanation.
pub fn channel(
    account: &Account,
    channel: &Channel,
    now: OffsetDateTime,
) -> (Tone, &'static str, &'static str) {
    let calendar = channel.kind() == ChannelKind::Calendar;
    match channel.sync_status() {
        SyncStatus::FailedInsufficientPermissions if account.auth_failed_at.is_some() => {
            (Tone::Bad, "Stopped", "Access ended at the provider.")
        }
        SyncStatus::FailedInsufficientPermissions => (
            Tone::Wait,
            "No access",
            if calendar {
                "You did not allow reading the calendar."
            } else {
                "You did not allow reading the mail."
            },
        ),
        SyncStatus::FailedUnknown => (
            Tone::Bad,
            "Stopped",
            "The sync ended with an error. Try it again; if it stops again, please tell your \
             administrator.",
        ),
        SyncStatus::Active => (Tone::Good, "Up to date", ""),
        SyncStatus::Ongoing if channel.throttle_retry_after.is_some() => (
            Tone::Busy,
            "Paused",
            "The provider asked us to slow down. The sync continues by itself.",
        ),
        SyncStatus::Ongoing if channel.synced_at.is_some() => (Tone::Busy, "Refreshing", ""),
        SyncStatus::Ongoing if queued(channel) => {
            let since = time_of(channel.sync_stage_started_at.as_ref());
            if since.is_some_and(|since| now - since > SOON) {
                (
                    Tone::Busy,
                    "Waiting",
                    "The first sync has not begun yet. It begins by itself, and nothing is lost. \
                     If this lasts for days, please tell your administrator.",
                )
            } else {
                (
                    Tone::Busy,
                    "First sync",
                    "It begins in a moment. You can close this page.",
                )
            }
        }
        SyncStatus::Ongoing => (
            Tone::Busy,
            "First sync",
            "This can take a while. You can close this page.",
        ),
        SyncStatus::NotSynced if waits(channel) => (
            Tone::Wait,
            "Ready to start",
            "Nothing is read until you start the sync.",
        ),
        SyncStatus::NotSynced => (Tone::Wait, "Not started", ""),
        // A newer version of sync-svc may return states that this version does not know.
        SyncStatus::Unspecified => (
            Tone::Busy,
            "Being updated",
            "Please check again in a few minutes.",
        ),
    }
}

/// Formats a past time, such as `3 minutes ago`.
pub fn ago(now: OffsetDateTime, then: OffsetDateTime) -> String {
    let seconds = (now - then).whole_seconds().max(0);
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400..172_800 => return "yesterday".to_owned(),
        172_800..2_592_000 => (seconds / 86_400, "day"),
        _ => return format!("on {}", day(then)),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// Formats a future time, such as `in 3 hours`.
pub fn until(now: OffsetDateTime, then: OffsetDateTime) -> String {
    let seconds = (then - now).whole_seconds().max(0);
    let (count, unit) = match seconds {
        0..120 => return "in a minute".to_owned(),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        172_800..2_592_000 => (seconds / 86_400, "days"),
        _ => return format!("on {}", day(then)),
    };
    format!("in {count} {unit}")
}

/// Formats a date, such as `24 November 2026`.
pub fn day(at: OffsetDateTime) -> String {
    format!("{} {} {}", at.day(), at.month(), at.year())
}

/// Converts a timestamp of the gRPC contract.
pub fn time_of(timestamp: Option<&Timestamp>) -> Option<OffsetDateTime> {
    latchkey_proto::time_of(timestamp?)
}

/// Describes what the scopes allow: first mail, then calendar.
pub fn permissions(scopes: &ScopeSet, mail: bool, calendar: bool) -> Vec<Permission> {
    let access = WriteAccess::of(scopes);
    let mut all = Vec::new();
    if mail {
        all.push(Permission {
            calendar: false,
            title: match (access.change_mail, access.send_mail) {
                (false, false) => "Read your mail",
                (false, true) => "Read your mail, and send what you write in the app",
                (true, false) => "Read and organise your mail",
                (true, true) => "Read and organise your mail, and send what you write in the app",
            },
            text: "So that conversations appear next to the people and companies that they are \
                   with.",
        });
    }
    if calendar {
        all.push(Permission {
            calendar: true,
            title: if access.change_events {
                "See and edit your calendar’s events"
            } else {
                "See your calendar’s events"
            },
            text: "So that meetings appear in the history of the people who take part.",
        });
    }
    all
}

/// One requested permission.
#[derive(Debug)]
pub struct Permission {
    /// Whether it concerns the calendar; otherwise it concerns mail.
    pub calendar: bool,
    /// What the permission allows.
    pub title: &'static str,
    /// Why it is requested.
    pub text: &'static str,
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn past_times_are_formatted_for_people() {
        let now = OffsetDateTime::from_unix_timestamp(1_795_500_000).unwrap();
        for (seconds, words) in [
            (-5, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (7_199, "1 hour ago"),
            (90_000, "yesterday"),
            (3 * 86_400, "3 days ago"),
        ] {
            assert_eq!(ago(now, now - Duration::seconds(seconds)), words);
        }
        assert!(ago(now, now - Duration::days(90)).starts_with("on "));
    }

    // R23, R24
    #[test]
    fn a_state_is_described_for_the_person() {
        let mut account = Account::default();
        let mut mail = Channel {
            kind: ChannelKind::Message.into(),
            sync_status: SyncStatus::FailedInsufficientPermissions.into(),
            ..Channel::default()
        };
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(channel(&account, &mail, now).1, "No access");
        account.auth_failed_at = Some(Timestamp::default());
        assert_eq!(channel(&account, &mail, now).1, "Stopped");
        assert!(needs_the_person(&account));
        mail.sync_status = SyncStatus::NotSynced.into();
        assert!(!waits(&mail));
        mail.sync_stage = WAITS.to_owned();
        assert!(waits(&mail));
    }

    // R28
    #[test]
    fn a_first_sync_that_waits_for_days_is_shown_as_waiting() {
        let now = OffsetDateTime::from_unix_timestamp(1_795_500_000).unwrap();
        let told = |waited: Duration, stage: &str| {
            let first = Channel {
                kind: ChannelKind::Message.into(),
                sync_status: SyncStatus::Ongoing.into(),
                sync_stage: stage.to_owned(),
                sync_stage_started_at: Some(latchkey_proto::timestamp(now - waited)),
                ..Channel::default()
            };
            assert!(!failed(&first) && !waits(&first));
            channel(&Account::default(), &first, now)
        };
        let pending = "MESSAGE_LIST_FETCH_PENDING";
        let (_, status, note) = told(Duration::minutes(2), pending);
        assert_eq!(status, "First sync");
        assert!(note.contains("begins in a moment"), "{note}");
        for days in [1, 3] {
            let (tone, status, note) = told(Duration::days(days), pending);
            assert_eq!((tone, status), (Tone::Busy, "Waiting"));
            assert!(note.contains("begins by itself"), "{note}");
        }
        let (_, status, note) = told(Duration::days(1), "MESSAGES_IMPORT_ONGOING");
        assert_eq!(status, "First sync");
        assert!(note.contains("can take a while"), "{note}");
    }

    // R28
    #[test]
    fn a_failed_channel_says_what_to_do() {
        let ended = Channel {
            sync_status: SyncStatus::FailedUnknown.into(),
            ..Channel::default()
        };
        assert!(failed(&ended));
        let (tone, status, note) = channel(&Account::default(), &ended, OffsetDateTime::UNIX_EPOCH);
        assert_eq!((tone, status), (Tone::Bad, "Stopped"));
        assert!(note.contains("Try it again"), "{note}");
    }
}
