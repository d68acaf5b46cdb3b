//! Reasons of the contract (`token.proto`) and of the client itself.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why there is no token: `google.rpc.ErrorInfo.reason` of the service,
        /// or what the client saw itself.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
            /// A reason that this version of the client does not know.
            Other(String),
        }

        impl Reason {
            /// The reason's name on the wire.
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
    /// The service does not know who is calling: the certificate has no name,
    /// or the token is not good.
    CallerUnknown = "CALLER_UNKNOWN",
    /// The service's policy does not allow it to this caller.
    CallerNotAllowed = "CALLER_NOT_ALLOWED",
    /// No such account.
    AccountNotFound = "ACCOUNT_NOT_FOUND",
    /// Several people have an account with this handle: ask by id.
    AccountAmbiguous = "ACCOUNT_AMBIGUOUS",
    /// The grant was revoked or has expired.
    InvalidRefreshToken = "INVALID_REFRESH_TOKEN",
    /// The provider never gave a refresh token.
    NoRefreshToken = "NO_REFRESH_TOKEN",
    /// A rotated refresh token was lost.
    RotationLost = "ROTATION_LOST",
    /// The organisation's policy asks for a new sign-in.
    ReauthPolicy = "REAUTH_POLICY",
    /// The provider asks the person for something, such as a second factor.
    InteractionRequired = "INTERACTION_REQUIRED",
    /// Consent is missing.
    ConsentRequired = "CONSENT_REQUIRED",
    /// The organisation's administrator does not allow the application.
    BlockedByAdmin = "BLOCKED_BY_ADMIN",
    /// The person's account at the provider is disabled or gone.
    AccountDisabled = "ACCOUNT_DISABLED",
    /// The provider goes on refusing the grant, for a reason that is not known.
    Refused = "REFUSED",
    /// The grant was given to another client id than the one that is configured.
    ClientChanged = "CLIENT_CHANGED",
    /// The provider refuses the grants of many accounts and serves none.
    GrantsRefused = "GRANTS_REFUSED",
    /// The person has not granted what was asked for.
    InsufficientScopes = "INSUFFICIENT_SCOPES",
    /// This caller has as many calls that wait as it may.
    TooManyCalls = "TOO_MANY_CALLS",
    /// The provider throttles.
    RateLimit = "RATE_LIMIT_ERROR",
    /// The provider is down.
    ProviderUnavailable = "PROVIDER_UNAVAILABLE",
    /// The service cannot reach the provider.
    Network = "NETWORK",
    /// The provider did not answer in time.
    OutcomeUnknown = "OUTCOME_UNKNOWN",
    /// The provider's answer made no sense.
    MalformedResponse = "MALFORMED_RESPONSE",
    /// The provider does not accept the deployment's client.
    Unauthorized = "UNAUTHORIZED",
    /// The deployment's client is misconfigured.
    ClientMisconfigured = "CLIENT_MISCONFIGURED",
    /// The provider does not accept the service's request.
    RequestRejected = "REQUEST_REJECTED",
    /// A configured scope does not exist.
    ScopeInvalid = "SCOPE_INVALID",
    /// The stored grant does not open with the keys that the service has.
    UnsealFailed = "UNSEAL_FAILED",
    /// The service's database does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// A refresh goes on beyond the deadline.
    StillRefreshing = "STILL_REFRESHING",
    /// The replica that was asked shuts down, and no other one could be asked.
    ShuttingDown = "SHUTTING_DOWN",
    /// The provider refused for a reason that the service does not know.
    Unknown = "UNKNOWN",
    /// Seen by the client: no replica of the service can be reached.
    ServiceUnreachable = "SERVICE_UNREACHABLE",
    /// Seen by the client: the service did not answer within the deadline.
    DeadlinePassed = "DEADLINE_PASSED",
    /// Seen by the client: service and client do not trust each other's
    /// certificates.
    TlsRefused = "TLS_REFUSED",
    /// Seen by the client: the service's answer breaks the contract.
    MalformedAnswer = "MALFORMED_ANSWER",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
