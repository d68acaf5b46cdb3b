//! What the checker finds.

use std::fmt;

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A confirmed sign-in has no account.
    AccountLost,
    /// A person has several accounts at one provider.
    AccountDoubled,
    /// An account of somebody who never signed in.
    AccountUnfounded,
    /// An account has no channel of a kind.
    ChannelLost,
    /// An account has several channels of a kind.
    ChannelDoubled,
    /// A channel has no first job.
    JobLost,
    /// A start of a channel has several jobs.
    JobDoubled,
    /// An event was committed and not published.
    EventLost,
    /// An event was published and not committed.
    EventUnfounded,
    /// An event or a message was parked although it can be handled.
    EventParked,
    /// The stored credentials are not those of the newest authentication, or an authentication that
    /// was never asked for.
    CredentialsStale,
    /// No valid grant is left, and nobody ended it.
    CredentialsLost,
    /// A channel does not have the newest choice.
    ChoiceStale,
    /// A confirmed disconnect did not last, or a confirmed connection did not.
    ConnectionWrong,
    /// A refresh token was spent twice at the strict provider outside the window.
    RefreshTokenSpentTwice,
    /// A token was given after a confirmed revocation.
    TokenAfterRevocation,
    /// A token was given that had expired.
    ExpiredTokenGiven,
    /// A read of an account went back in version.
    VersionWentBack,
    /// Something still waited at the end of the settle phase.
    NotSettled,
    /// A message of the suite that cannot be handled was not parked, or was handled.
    MessageNotParked,
    /// A message of the suite that can be handled was not.
    MessageNotApplied,
}

impl Kind {
    /// Returns whether something is lost that was acknowledged.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Self::AccountLost
                | Self::ChannelLost
                | Self::JobLost
                | Self::EventLost
                | Self::EventParked
                | Self::CredentialsLost
                | Self::MessageNotParked
                | Self::MessageNotApplied
        )
    }

    /// Returns whether something exists more than once.
    pub fn is_doubled(self) -> bool {
        matches!(
            self,
            Self::AccountDoubled | Self::ChannelDoubled | Self::JobDoubled
        )
    }
}

/// A violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub kind: Kind,
    /// What violates it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// The violations that were found.
#[derive(Debug, Default)]
pub(super) struct Violations(pub(super) Vec<Violation>);

impl Violations {
    pub(super) fn add(&mut self, kind: Kind, what: impl Into<String>) {
        self.0.push(Violation {
            kind,
            what: what.into(),
        });
    }
}
