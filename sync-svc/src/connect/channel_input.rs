//! Which input a sign-in is for a channel.

use std::str::FromStr;

use super::sign_in::Access;
use crate::channel::{Channel, Input, SyncStatus};

/// Whether a new channel starts by itself (`CONNECT_MODE`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectMode {
    /// It starts at once.
    #[default]
    Automatic,
    /// It starts when the person confirms it (`StartChannelSync`).
    Confirm,
}

/// The text is not a connect mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be automatic or confirm")]
pub struct InvalidConnectMode;

impl FromStr for ConnectMode {
    type Err = InvalidConnectMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "automatic" => Ok(Self::Automatic),
            "confirm" => Ok(Self::Confirm),
            _ => Err(InvalidConnectMode),
        }
    }
}

/// The input for a channel after a sign-in whose grant was stored; `None` if the channel
/// stays as it is. `current` is `None` if the channel does not exist. `replaced` is
/// false if only an access token with the same scopes was stored. `reconnected` says
/// that the account could not be used before.
pub(super) fn input_after_sign_in(
    current: Option<&Channel>,
    access: Access,
    mode: ConnectMode,
    reconnected: bool,
    replaced: bool,
) -> Option<Input> {
    match (access, current) {
        (Access::NotWanted, _) => None,
        (Access::Denied, current) => {
            let is_denied = current
                .is_some_and(|channel| channel.status == SyncStatus::FailedInsufficientPermissions);
            (replaced && !is_denied).then_some(Input::Denied)
        }
        (Access::Granted, None) => Some(start_or_wait(mode, 0)),
        (Access::Granted, Some(channel)) => match &channel.status {
            SyncStatus::NotSynced if mode == ConnectMode::Confirm => None,
            SyncStatus::NotSynced => Some(Input::Start),
            SyncStatus::FailedInsufficientPermissions | SyncStatus::FailedUnknown => {
                Some(start_or_wait(mode, channel.generation))
            }
            // Whether a status of a newer version means running is unknown: it is
            // treated as running.
            SyncStatus::Ongoing | SyncStatus::Active | SyncStatus::Other(_) => {
                reconnected.then_some(Input::Start)
            }
        },
    }
}

/// In confirm mode a channel that never ran waits for the person's confirmation.
fn start_or_wait(mode: ConnectMode, generation: i32) -> Input {
    if mode == ConnectMode::Confirm && generation == 0 {
        Input::AwaitConfirmation
    } else {
        Input::Start
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_connect_mode_is_one_of_two_words() {
        for (text, mode) in [
            ("automatic", Ok(ConnectMode::Automatic)),
            ("confirm", Ok(ConnectMode::Confirm)),
            ("Confirm", Err(InvalidConnectMode)),
            ("", Err(InvalidConnectMode)),
        ] {
            assert_eq!(text.parse(), mode, "{text}");
        }
    }

    fn automatic(current: Option<&Channel>, access: Access, reconnected: bool) -> Option<Input> {
        input_after_sign_in(current, access, ConnectMode::Automatic, reconnected, true)
    }

    fn running() -> Channel {
        Channel::new(NOW).after(Input::Start, NOW).unwrap()
    }

    // R23
    #[test]
    fn partial_consent_is_shown_and_a_wider_grant_repairs_it() {
        assert_eq!(automatic(None, Access::Denied, true), Some(Input::Denied));
        let denied = Channel::new(NOW).after(Input::Denied, NOW).unwrap();
        assert_eq!(
            automatic(Some(&denied), Access::Granted, false),
            Some(Input::Start)
        );
        assert_eq!(automatic(Some(&denied), Access::Denied, false), None);
    }

    // R22, R27
    #[test]
    fn a_stopped_channel_starts_by_itself() {
        let stopped = Channel::new(NOW);
        assert_eq!(
            automatic(Some(&stopped), Access::Granted, false),
            Some(Input::Start)
        );
    }

    // R23: the missing scopes are those of a grant that was not kept.
    #[test]
    fn an_access_token_alone_does_not_stop_a_channel() {
        for channel in [None, Some(&running())] {
            let input = input_after_sign_in(
                channel,
                Access::Denied,
                ConnectMode::Automatic,
                false,
                false,
            );
            assert_eq!(input, None);
        }
    }

    // R22
    #[test]
    fn a_running_channel_starts_again_only_after_a_dead_grant() {
        assert_eq!(automatic(Some(&running()), Access::Granted, false), None);
        assert_eq!(
            automatic(Some(&running()), Access::Granted, true),
            Some(Input::Start)
        );
    }

    // R6
    #[test]
    fn access_that_is_not_wanted_gets_no_channel() {
        assert_eq!(automatic(None, Access::NotWanted, true), None);
        assert_eq!(automatic(Some(&running()), Access::NotWanted, true), None);
    }

    // R24
    #[test]
    fn in_confirm_mode_a_channel_that_never_ran_waits() {
        let confirm = |current: Option<&Channel>| {
            input_after_sign_in(current, Access::Granted, ConnectMode::Confirm, true, true)
        };
        assert_eq!(confirm(None), Some(Input::AwaitConfirmation));
        let denied = Channel::new(NOW).after(Input::Denied, NOW).unwrap();
        assert_eq!(confirm(Some(&denied)), Some(Input::AwaitConfirmation));
        let dead = running()
            .after(Input::GrantDied("x".to_owned()), NOW)
            .unwrap();
        assert_eq!(confirm(Some(&dead)), Some(Input::Start));
        assert_eq!(confirm(Some(&Channel::new(NOW))), None);
    }
}
