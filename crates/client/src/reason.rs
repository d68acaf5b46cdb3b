//! Reasons of the contract (`token.proto`) and of the client itself.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why there is no token: `google.rpc.ErrorInfo.reason` of the service, or a
        /// reason of the client.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
            /// A reason that this version of the client does not know.
            Other(String),
        }

        impl Reason {
            /// Name of the reason in the protocol.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<String> for Reason {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$variant,)*
                    _ => Self::Other(name),
                }
            }
        }
    };
}

reasons! {
    /// The service cannot identify the caller: the certificate has no name, or the token
    /// is invalid.
    CallerUnknown = "CALLER_UNKNOWN",
    /// The service's policy does not allow the request to this caller.
    CallerNotAllowed = "CALLER_NOT_ALLOWED",
    /// The account does not exist.
    AccountNotFound = "ACCOUNT_NOT_FOUND",
    /// Several people have an account with this handle: request it by id.
    AccountAmbiguous = "ACCOUNT_AMBIGUOUS",
    /// The grant was revoked or has expired.
    InvalidRefreshToken = "INVALID_REFRESH_TOKEN",
    /// The provider never issued a refresh token.
    NoRefreshToken = "NO_REFRESH_TOKEN",
    /// A rotated refresh token was lost.
    RotationLost = "ROTATION_LOST",
    /// The organisation's policy requires a new sign-in.
    ReauthPolicy = "REAUTH_POLICY",
    /// The provider requires an interaction of the person, such as a second factor.
    InteractionRequired = "INTERACTION_REQUIRED",
    /// Consent is missing.
    ConsentRequired = "CONSENT_REQUIRED",
    /// The organisation's administrator does not allow the application.
    BlockedByAdmin = "BLOCKED_BY_ADMIN",
    /// The person's account at the provider is disabled or deleted.
    AccountDisabled = "ACCOUNT_DISABLED",
    /// The provider keeps refusing the grant for an unknown reason.
    Refused = "REFUSED",
    /// The grant was issued to another client id than the configured one.
    ClientChanged = "CLIENT_CHANGED",
    /// The provider refuses the grants of many accounts and serves none.
    GrantsRefused = "GRANTS_REFUSED",
    /// The person has not granted the requested scopes.
    InsufficientScopes = "INSUFFICIENT_SCOPES",
    /// This caller has reached its limit of waiting calls.
    TooManyCalls = "TOO_MANY_CALLS",
    /// The provider throttles.
    RateLimit = "RATE_LIMIT_ERROR",
    /// The provider is down.
    ProviderUnavailable = "PROVIDER_UNAVAILABLE",
    /// The service cannot reach the provider.
    Network = "NETWORK",
    /// The provider did not answer in time.
    OutcomeUnknown = "OUTCOME_UNKNOWN",
    /// The provider's answer was unreadable.
    MalformedResponse = "MALFORMED_RESPONSE",
    /// The provider does not accept the deployment's client.
    Unauthorized = "UNAUTHORIZED",
    /// The deployment's client is misconfigured.
    ClientMisconfigured = "CLIENT_MISCONFIGURED",
    /// The provider does not accept the service's request.
    RequestRejected = "REQUEST_REJECTED",
    /// A configured scope does not exist.
    ScopeInvalid = "SCOPE_INVALID",
    /// The service's keys cannot open the stored grant.
    UnsealFailed = "UNSEAL_FAILED",
    /// The service's database does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// A refresh continues beyond the deadline.
    StillRefreshing = "STILL_REFRESHING",
    /// The replica shuts down, and no other one could be asked.
    ShuttingDown = "SHUTTING_DOWN",
    /// The provider refused for a reason that the service does not know.
    Unknown = "UNKNOWN",
    /// Reported by the client: no replica of the service can be reached.
    ServiceUnreachable = "SERVICE_UNREACHABLE",
    /// Reported by the client: the service did not answer within the deadline.
    DeadlinePassed = "DEADLINE_PASSED",
    /// Reported by the client: service and client do not trust each other's
    /// certificates.
    TlsRefused = "TLS_REFUSED",
    /// Reported by the client: the service's answer violates the contract.
    MalformedAnswer = "MALFORMED_ANSWER",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
