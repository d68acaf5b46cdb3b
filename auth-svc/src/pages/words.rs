//! States and times in people's words.

use latchkey_domain::{Handle, ScopeSet};
use latchkey_proto::account::{Account, Channel, ChannelKind, SyncStatus};
use latchkey_providers::WriteAccess;
use prost_types::Timestamp;
use time::OffsetDateTime;

/// Stage of a channel that waits for the person's go (R24).
const WAITS: &str = "PENDING_CONFIGURATION";

/// An address as people write it: an international domain in its own script.
pub fn address(stored: &str) -> String {
    stored
        .parse::<Handle>()
        .map_or_else(|_| stored.to_owned(), |handle| handle.for_people())
}

/// How a state feels: the colour of its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Work goes on.
    Busy,
    /// The person may do something.
    Wait,
    /// The person must do something.
    Bad,
}

impl Tone {
    /// Class of the stylesheet.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Wait => "wait",
            Self::Bad => "bad",
        }
    }
}

/// True where the channel waits for the person's go.
pub fn waits(channel: &Channel) -> bool {
    channel.sync_status() == SyncStatus::NotSynced && channel.sync_stage == WAITS
}

/// Returns `true` if the channel stopped for a reason that the person can do nothing
/// about but try again.
pub fn failed(channel: &Channel) -> bool {
    channel.sync_status() == SyncStatus::FailedUnknown
}

/// Returns `true` if a first sync waits for a worker to begin with it.
fn queued(channel: &Channel) -> bool {
    const STAGES: [&str; 2] = ["LIST_FETCH_PENDING", "LIST_FETCH_SCHEDULED"];
    STAGES
        .iter()
        .any(|stage| channel.sync_stage.ends_with(stage))
}

/// True where the person has to go to the provider once more.
pub fn needs_the_person(account: &Account) -> bool {
    account.auth_failed_at.is_some()
        || account
            .channels
            .iter()
            .any(|channel| channel.sync_status() == SyncStatus::FailedInsufficientPermissions)
}

/// If a first sync waits for longer than this, the page says that it waits.
const SOON: time::Duration = time::Duration::hours(1);

/// State of a channel: how it feels, in a few words, and what that means.
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
            "The provider asked us to slow down. It goes on by itself.",
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
            "Nothing is read until you say so.",
        ),
        SyncStatus::NotSynced => (Tone::Wait, "Not started", ""),
        // Of a newer version of the service behind this page.
        SyncStatus::Unspecified => (
            Tone::Busy,
            "Being updated",
            "Please look again in a few minutes.",
        ),
    }
}

/// `3 minutes ago`
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

/// `in 3 hours`
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

/// `24 November 2026`
pub fn day(at: OffsetDateTime) -> String {
    format!("{} {} {}", at.day(), at.month(), at.year())
}

/// A time of the contract.
pub fn time_of(timestamp: Option<&Timestamp>) -> Option<OffsetDateTime> {
    latchkey_proto::time_of(timestamp?)
}

/// What the scopes allow, as a person would say it: mail, then calendar.
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
            text: "So that conversations show up next to the people and companies they are with.",
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
            text: "So that meetings appear in the history of whoever takes part.",
        });
    }
    all
}

/// One thing that is asked for.
#[derive(Debug)]
pub struct Permission {
    /// Mail otherwise.
    pub calendar: bool,
    /// What.
    pub title: &'static str,
    /// What for.
    pub text: &'static str,
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
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
    fn a_state_says_what_it_means_for_the_person() {
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
    fn a_first_sync_that_waits_for_days_waits_and_has_not_failed() {
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
    fn what_failed_says_what_to_do() {
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
