//! Classes of a failure at a token endpoint (R32).

use std::fmt;

/// Why a grant gave no token. `latchkey.token.v1` has the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// The refresh token is revoked or expired.
    InvalidRefreshToken,
    /// The organisation's policy requires a new sign-in.
    ReauthPolicy,
    /// The person must act at the provider: a second factor or a claims challenge.
    InteractionRequired,
    /// The person or an administrator has not consented.
    ConsentRequired,
    /// The grant lacks scopes.
    InsufficientScopes,
    /// An administrator's policy forbids access.
    BlockedByAdmin,
    /// The person's account at the provider is disabled or deleted.
    AccountDisabled,
    /// The provider does not accept the client: the operator must act.
    ClientMisconfigured,
    /// Status 401 without a reason: the operator must act.
    Unauthorized,
    /// The provider does not understand the request: the operator must act.
    RequestRejected,
    /// The provider does not accept a scope: the operator must act.
    ScopeInvalid,
    /// The provider throttles requests.
    RateLimit,
    /// The provider is down.
    ProviderUnavailable,
    /// DNS, connection or TLS failed: nothing was sent.
    Network,
    /// The request was sent, and no response came: the refresh may have happened.
    OutcomeUnknown,
    /// The response is malformed: HTML, or no access token.
    MalformedResponse,
    /// There is no refresh token.
    NoRefreshToken,
    /// The rotated refresh token was lost.
    RotationLost,
    /// The provider kept refusing the grant for an unknown reason.
    Refused,
    /// The refresh token belongs to another client id than the configured one.
    ClientChanged,
    /// The provider refuses the grants of many accounts and accepts none: the application
    /// was deleted or revoked there, and the operator must act.
    GrantsRefused,
    /// The sealed grant cannot be opened.
    UnsealFailed,
    /// Any other failure.
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

    /// Name in `google.rpc.ErrorInfo.reason`, which callers receive.
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

    /// The class with this [`reason`](Self::reason).
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.reason() == reason)
    }

    /// Returns `true` if the grant is dead until the person signs in again.
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

    /// Returns `true` for a refusal that an administrator can take back, by allowing the
    /// application or enabling the account. The same grant may then work again, so the
    /// refresh is repeated for some time.
    pub const fn heals(self) -> bool {
        matches!(self, Self::BlockedByAdmin | Self::AccountDisabled)
    }

    /// Returns `true` if the operator must act. No grant is marked dead for it.
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

    /// Returns `true` if the same request may succeed later without any action. This does
    /// not include [`OutcomeUnknown`](Self::OutcomeUnknown): whether such a request may be
    /// repeated depends on [`Rotation`](crate::Rotation).
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
    fn every_reason_belongs_to_one_class() {
        for class in FailureClass::ALL {
            assert_eq!(FailureClass::from_reason(class.reason()), Some(class));
        }
    }

    // R32, WP10.
    #[test]
    fn a_failure_that_others_can_resolve_is_never_terminal() {
        for class in FailureClass::ALL {
            assert!(!(class.is_operators() && class.is_terminal()), "{class}");
            assert!(!(class.is_retryable() && class.is_terminal()), "{class}");
            assert!(!(class.heals() && class.is_terminal()), "{class}");
        }
    }
}
