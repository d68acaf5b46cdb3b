//! Classes of a failure at a token endpoint (R32).

use std::fmt;

/// Why a grant gave no token. The names are those of `latchkey.token.v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// The refresh token is revoked or expired.
    InvalidRefreshToken,
    /// The organisation's policy asks for a new sign-in.
    ReauthPolicy,
    /// The person must do something at the provider: a second factor, a claims
    /// challenge.
    InteractionRequired,
    /// The person or an administrator has not consented.
    ConsentRequired,
    /// The grant lacks scopes.
    InsufficientScopes,
    /// An administrator's policy forbids it.
    BlockedByAdmin,
    /// The person's account at the provider is disabled or gone.
    AccountDisabled,
    /// The provider does not accept our client: the operator must act.
    ClientMisconfigured,
    /// 401 without a reason: the operator must act.
    Unauthorized,
    /// The provider does not understand the request: the operator must act.
    RequestRejected,
    /// The provider does not know a scope: the operator must act.
    ScopeInvalid,
    /// Throttled.
    RateLimit,
    /// The provider is down.
    ProviderUnavailable,
    /// Nothing was sent: DNS, connection, TLS.
    Network,
    /// Sent, and the answer did not arrive: the refresh may have happened.
    OutcomeUnknown,
    /// An answer that is no answer: HTML, no access token.
    MalformedResponse,
    /// There is no refresh token.
    NoRefreshToken,
    /// The rotated refresh token was lost.
    RotationLost,
    /// The provider went on refusing the grant, for a reason that is not known.
    Refused,
    /// The refresh token was given to another client id than the one that is configured.
    ClientChanged,
    /// The provider refuses the grants of many accounts and serves none: the application
    /// was deleted or revoked there, and the operator must act.
    GrantsRefused,
    /// The stored grant cannot be opened.
    UnsealFailed,
    /// Anything else.
    Unknown,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 23] = [
        Self::InvalidRefreshToken,
        Self::ReauthPolicy,
        Self::InteractionRequired,
        Self::ConsentRequired,
        Self::InsufficientScopes,
        Self::BlockedByAdmin,
        Self::AccountDisabled,
        Self::ClientMisconfigured,
        Self::Unauthorized,
        Self::RequestRejected,
        Self::ScopeInvalid,
        Self::RateLimit,
        Self::ProviderUnavailable,
        Self::Network,
        Self::OutcomeUnknown,
        Self::MalformedResponse,
        Self::NoRefreshToken,
        Self::RotationLost,
        Self::Refused,
        Self::ClientChanged,
        Self::GrantsRefused,
        Self::UnsealFailed,
        Self::Unknown,
    ];

    /// The name that callers see in `google.rpc.ErrorInfo`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::InvalidRefreshToken => "INVALID_REFRESH_TOKEN",
            Self::ReauthPolicy => "REAUTH_POLICY",
            Self::InteractionRequired => "INTERACTION_REQUIRED",
            Self::ConsentRequired => "CONSENT_REQUIRED",
            Self::InsufficientScopes => "INSUFFICIENT_SCOPES",
            Self::BlockedByAdmin => "BLOCKED_BY_ADMIN",
            Self::AccountDisabled => "ACCOUNT_DISABLED",
            Self::ClientMisconfigured => "CLIENT_MISCONFIGURED",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::RequestRejected => "REQUEST_REJECTED",
            Self::ScopeInvalid => "SCOPE_INVALID",
            Self::RateLimit => "RATE_LIMIT_ERROR",
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::Network => "NETWORK",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::MalformedResponse => "MALFORMED_RESPONSE",
            Self::NoRefreshToken => "NO_REFRESH_TOKEN",
            Self::RotationLost => "ROTATION_LOST",
            Self::Refused => "REFUSED",
            Self::ClientChanged => "CLIENT_CHANGED",
            Self::GrantsRefused => "GRANTS_REFUSED",
            Self::UnsealFailed => "UNSEAL_FAILED",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The class of a stored [`reason`](Self::reason).
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.reason() == reason)
    }

    /// True where only the person can revive the grant: mark it, ask no more.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::InvalidRefreshToken
                | Self::ReauthPolicy
                | Self::InteractionRequired
                | Self::ConsentRequired
                | Self::NoRefreshToken
                | Self::RotationLost
                | Self::Refused
                | Self::ClientChanged
        )
    }

    /// Returns `true` for a refusal that others than the person take back: an
    /// administrator who allows the application, or enables the account again. The same
    /// grant may then serve, so it is asked for again for a while.
    pub const fn heals(self) -> bool {
        matches!(self, Self::BlockedByAdmin | Self::AccountDisabled)
    }

    /// True where the operator must act: no grant is marked for it.
    pub const fn is_operators(self) -> bool {
        matches!(
            self,
            Self::ClientMisconfigured
                | Self::Unauthorized
                | Self::RequestRejected
                | Self::ScopeInvalid
                | Self::GrantsRefused
                | Self::UnsealFailed
        )
    }

    /// True where the same request may succeed later, with nobody doing
    /// anything. [`OutcomeUnknown`](Self::OutcomeUnknown) is not: whether it may
    /// be sent again depends on [`Rotation`](crate::Rotation).
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimit
                | Self::ProviderUnavailable
                | Self::Network
                | Self::MalformedResponse
                | Self::Unknown
        )
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R32
    #[test]
    fn every_reason_is_one_class() {
        for class in FailureClass::ALL {
            assert_eq!(FailureClass::from_reason(class.reason()), Some(class));
        }
    }

    // R32: PEERS, the replaced system, 10.
    #[test]
    fn an_operators_mistake_never_condemns_a_grant() {
        for class in FailureClass::ALL {
            assert!(!(class.is_operators() && class.is_terminal()), "{class}");
            assert!(!(class.is_retryable() && class.is_terminal()), "{class}");
            assert!(!(class.heals() && class.is_terminal()), "{class}");
        }
    }
}
