//! Errors of requests to a provider.

use std::time::Duration;

use latchkey_domain::{Handle, RefreshToken};

use crate::{FailureClass, Mismatch};

/// Longest token that is accepted, in bytes. An ID token of a person in thousands of groups
/// is about as long.
pub const MAX_TOKEN: usize = 256 * 1024;
/// [`TokenError::code`] of a response with a token longer than [`MAX_TOKEN`].
pub const TOKEN_TOO_LARGE: &str = "token_too_large";

/// A token endpoint gave no token, or was not reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{class}{}", .code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct TokenError {
    /// Class of the failure.
    pub class: FailureClass,
    /// Time to wait before the next request: the provider's `Retry-After`, 24 hours at most.
    pub retry_after: Option<Duration>,
    /// The provider's error code, with Microsoft's number if there is one
    /// (`invalid_grant/AADSTS50173`); 100 characters at most.
    pub code: Option<String>,
    /// The provider's description for an operator, 300 printable characters at most. It
    /// may name a person, so it must not be shown to anybody else.
    pub description: Option<String>,
    /// Claims challenge for the authorize URL (Microsoft).
    pub claims: Option<String>,
    /// Rotated refresh token of a response that is unusable otherwise. It must be stored
    /// before anything else is done.
    pub rotated: Option<RefreshToken>,
    /// How far the request came.
    pub delivery: Delivery,
}

/// How far a request to a token endpoint came, and so whether its refresh token may have
/// been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing was sent to the token endpoint.
    NotSent,
    /// The request was sent, and no complete response came: tokens may have been issued.
    Unanswered,
    /// The provider responded with an error: no tokens were issued.
    Refused,
    /// The provider responded as if tokens were issued, and the response has no token that
    /// can be read.
    Unreadable,
}

impl TokenError {
    /// A failure with nothing but a class.
    pub const fn of(class: FailureClass) -> Self {
        Self {
            class,
            delivery: match class {
                FailureClass::Network => Delivery::NotSent,
                FailureClass::OutcomeUnknown => Delivery::Unanswered,
                _ => Delivery::Refused,
            },
            retry_after: None,
            code: None,
            description: None,
            claims: None,
            rotated: None,
        }
    }

    /// The same failure, of a request that was not sent.
    #[must_use]
    pub const fn not_sent(mut self) -> Self {
        self.delivery = Delivery::NotSent;
        self
    }
}

/// The class of an authorization error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationError {
    /// The person or their administrator refused access.
    AccessDenied,
    /// The person has to consent, sign in or choose an account.
    InteractionRequired,
    /// The organisation does not allow this application.
    BlockedByAdmin,
    /// The provider is temporarily unavailable.
    Unavailable,
    /// The registration or the configuration is wrong; the operator has to correct it.
    Misconfigured,
    /// An unknown error.
    Other,
}

/// A request to the provider failed, or its response is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// DNS, connection or TLS failed: nothing was sent.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
    /// The discovery document is not available.
    #[error("the provider's discovery document is not available: {0}")]
    DiscoveryUnavailable(String),
    /// The issuer has no discovery document.
    #[error("the provider has no discovery document there: status {0}; is the issuer correct?")]
    NoDiscovery(u16),
    /// The discovery document is wrong.
    #[error("the provider's discovery document is wrong: {0}")]
    DiscoveryInvalid(String),
    /// The provider requires something that is not supported.
    #[error("the provider cannot be used: {0}")]
    Unsupported(String),
    /// The key set is not available.
    #[error("the provider's keys are not available: {0}")]
    KeysUnavailable(String),
    /// The userinfo endpoint did not respond with claims.
    #[error("the provider's userinfo is not available: {0}")]
    UserinfoUnavailable(String),
    /// The provider did not accept a pushed authorization request (RFC 9126).
    #[error("the provider did not accept the pushed authorization request: {problem}")]
    NotPushed {
        /// Class of the failure.
        class: FailureClass,
        /// What the provider said, for a log.
        problem: String,
    },
    /// The provider accepted a pushed authorization request, and its response has no
    /// `request_uri` that can be used.
    #[error("the provider's response to the pushed authorization request has no request_uri")]
    NoRequestUri,
    /// `iss` of the callback is another issuer (RFC 9207).
    #[error("the callback came from another issuer: {0}")]
    IssuerMismatch(Mismatch),
    /// The callback lacks `iss` although the provider announces it (RFC 9207).
    #[error("the callback does not say which issuer it comes from")]
    IssuerMissing,
    /// No callback URL is configured for this provider.
    #[error("no callback URL is configured for {0}")]
    NoCallback(String),
}

/// The person belongs to a tenant that may not sign in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tenant is not allowed: {mismatch}")]
pub struct WrongTenant {
    /// The allowed tenants, and the tenant of the token.
    pub mismatch: Mismatch,
    /// The address in the token, so that a page can show which account was used. It is not
    /// verified.
    pub address: Option<Handle>,
}

/// Why an ID token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// The token response has no ID token.
    #[error("there is no ID token")]
    Missing,
    /// The ID token is longer than [`MAX_TOKEN`].
    #[error("the ID token is too large: {0} bytes, at most {max} are accepted", max = MAX_TOKEN)]
    TooLarge(usize),
    /// The ID token is a JWE (RFC 7516).
    #[error(
        "the ID token is encrypted, which is not supported: switch the encryption off at the \
         provider"
    )]
    Encrypted,
    /// The token is not a JWS with claims.
    #[error("the ID token is malformed: {0}")]
    Malformed(&'static str),
    /// The algorithm is `none`, HMAC, or another one that is not accepted.
    #[error("the ID token is signed with an algorithm that is not accepted: {0}")]
    Algorithm(Mismatch),
    /// `crit` names an extension (RFC 7515 section 4.1.11).
    #[error("the ID token has a critical extension that is not known")]
    CriticalExtension,
    /// The issuer publishes no such key.
    #[error("the ID token is signed with a key that the issuer does not publish")]
    UnknownKey,
    /// The signature is not valid.
    #[error("the signature of the ID token is not valid")]
    Signature,
    /// `iss` is another issuer.
    #[error("the ID token comes from another issuer: {0}")]
    Issuer(Mismatch),
    /// The tenant may not sign in.
    #[error(transparent)]
    Tenant(Box<WrongTenant>),
    /// `aud` does not contain this client.
    #[error("the ID token is meant for another client: {0}")]
    Audience(Mismatch),
    /// `aud` contains audiences that are not configured.
    #[error(
        "the ID token is meant for others beside this client, and AUDIENCES of the provider does \
         not name them: {0}"
    )]
    OtherAudiences(Mismatch),
    /// `azp` is another client.
    #[error("the ID token was issued to another client: {0}")]
    AuthorizedParty(Mismatch),
    /// `exp` is in the past or absent.
    #[error("the ID token has expired: {0}")]
    Expired(Mismatch),
    /// `iat` or `nbf` is in the future, or `iat` is absent.
    #[error("the ID token is from another time: {0}")]
    NotYetValid(Mismatch),
    /// `acr` is none of the configured values.
    #[error("the person did not authenticate as ACR_VALUES requires: {0}")]
    AuthenticationClass(Mismatch),
    /// `auth_time` is longer ago than `max_age`.
    #[error("the person authenticated longer ago than MAX_AGE allows: auth_time {0}")]
    AuthenticationTooOld(Mismatch),
    /// `auth_time` is absent although `max_age` was sent.
    #[error(
        "the ID token does not say when the person authenticated (auth_time), although MAX_AGE is \
         configured"
    )]
    NoAuthenticationTime,
    /// `nonce` is absent or not the one of this sign-in.
    #[error("the ID token does not belong to this sign-in")]
    Nonce,
    /// `at_hash` does not match the access token.
    #[error("the ID token does not belong to the access token")]
    AccessTokenHash,
    /// `sub`, or Microsoft's `oid` or `tid`, is absent or malformed.
    #[error("the ID token does not say who the person is")]
    Subject,
    /// The configured claim for the subject is absent or not a text.
    #[error("the ID token has no claim {0}, which is configured to say who the person is")]
    SubjectClaim(String),
    /// A refreshed ID token or the userinfo response is about another person.
    #[error("the provider's response is about another person")]
    OtherSubject,
    /// A request to the provider failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}
