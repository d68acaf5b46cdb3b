//! What goes wrong with a provider.

use std::time::Duration;

use latchkey_domain::{Handle, RefreshToken};

use crate::{FailureClass, Mismatch};

/// A token endpoint, or the way to it, gave no token.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{class}{}", .code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct TokenError {
    /// What kind of failure.
    pub class: FailureClass,
    /// Not before: the provider's `Retry-After`, 24 h at most.
    pub retry_after: Option<Duration>,
    /// The provider's code: `error`, with Microsoft's number where there is one
    /// (`invalid_grant/AADSTS50173`); 100 characters at most.
    pub code: Option<String>,
    /// The provider's explanation for an operator; 300 characters at most,
    /// printable. May name a person: never show it to another.
    pub description: Option<String>,
    /// Claims challenge to pass on to the authorize URL (Microsoft).
    pub claims: Option<String>,
    /// A rotated refresh token that stood in an answer that is otherwise no
    /// answer: store it before anything else.
    pub rotated: Option<RefreshToken>,
    /// How far the request came.
    pub delivery: Delivery,
}

/// How far a request to a token endpoint came: what may have happened to the
/// refresh token that was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing was sent to the token endpoint.
    NotSent,
    /// Sent, and no complete answer came: tokens may have been issued.
    Unanswered,
    /// The provider answered with an error: no tokens were issued.
    Refused,
    /// The provider answered as if tokens were issued, and the answer has none
    /// that can be read.
    Unreadable,
}

impl TokenError {
    /// A failure of which only the class is known.
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

    /// The same failure of a request of which nothing was sent.
    #[must_use]
    pub const fn not_sent(mut self) -> Self {
        self.delivery = Delivery::NotSent;
        self
    }
}

/// The provider cannot be spoken to, or spoke in another's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// DNS, connection or TLS: nothing was sent.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
    /// The discovery document cannot be had.
    #[error("the provider's discovery document is not available: {0}")]
    DiscoveryUnavailable(String),
    /// There is no discovery document at the issuer.
    #[error("the provider has no discovery document there: status {0}; is the issuer right?")]
    NoDiscovery(u16),
    /// The discovery document is not what it must be.
    #[error("the provider's discovery document is wrong: {0}")]
    DiscoveryInvalid(String),
    /// The provider requires something that this client does not have.
    #[error("the provider cannot be used: {0}")]
    Unsupported(String),
    /// The key set cannot be had.
    #[error("the provider's keys are not available: {0}")]
    KeysUnavailable(String),
    /// The userinfo endpoint does not answer.
    #[error("the provider's userinfo is not available: {0}")]
    UserinfoUnavailable(String),
    /// `iss` of the callback is another's (RFC 9207).
    #[error("the callback came from another issuer: {0}")]
    IssuerMismatch(Mismatch),
    /// The provider announces `iss` and the callback has none (RFC 9207).
    #[error("the callback does not say which issuer it comes from")]
    IssuerMissing,
    /// No callback URL is configured: this process sends nobody there.
    #[error("no callback URL is configured for {0}")]
    NoCallback(String),
}

/// A person of a tenant that is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tenant is not allowed: {mismatch}")]
pub struct WrongTenant {
    /// The tenants that are allowed, and the token's.
    pub mismatch: Mismatch,
    /// The address in the token, to tell the person which account they used.
    /// Nothing is proven of it.
    pub address: Option<Handle>,
}

/// An ID token that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// The token answer had none.
    #[error("there is no ID token")]
    Missing,
    /// Longer than any that is carried.
    #[error("the ID token is too large: {0} bytes, at most {max} are taken", max = crate::MAX_TOKEN)]
    TooLarge(usize),
    /// A JWE.
    #[error(
        "the ID token is encrypted, which is not supported: switch the encryption off at the \
         provider"
    )]
    Encrypted,
    /// Not a JWS, or claims that are no claims.
    #[error("the ID token is malformed: {0}")]
    Malformed(&'static str),
    /// `none`, HMAC, or another algorithm than those pinned.
    #[error("the ID token is signed with an algorithm that is not accepted: {0}")]
    Algorithm(Mismatch),
    /// `crit` names an extension (RFC 7515 section 4.1.11).
    #[error("the ID token has a critical extension that is not known")]
    CriticalExtension,
    /// No key of the issuer fits.
    #[error("the ID token is signed with a key that the issuer does not publish")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the signature of the ID token does not hold")]
    Signature,
    /// `iss` is not the issuer.
    #[error("the ID token comes from another issuer: {0}")]
    Issuer(Mismatch),
    /// The tenant is not one of those allowed.
    #[error(transparent)]
    Tenant(Box<WrongTenant>),
    /// `aud` is not this client.
    #[error("the ID token is meant for another client: {0}")]
    Audience(Mismatch),
    /// `aud` has others beside this client.
    #[error(
        "the ID token is meant for others beside this client, and AUDIENCES of the provider does \
         not name them: {0}"
    )]
    OtherAudiences(Mismatch),
    /// `azp` is another client.
    #[error("the ID token was issued to another client: {0}")]
    AuthorizedParty(Mismatch),
    /// `exp` is past or absent.
    #[error("the ID token has expired: {0}")]
    Expired(Mismatch),
    /// `iat` or `nbf` is absent or not yet.
    #[error("the ID token is from another time: {0}")]
    NotYetValid(Mismatch),
    /// `nonce` is absent or another's.
    #[error("the ID token does not belong to this sign-in")]
    Nonce,
    /// `at_hash` is another token's.
    #[error("the ID token does not belong to the access token")]
    AccessTokenHash,
    /// `sub`, or Microsoft's `oid` or `tid`, is absent or wrong.
    #[error("the ID token does not say who the person is")]
    Subject,
    /// The claim that is configured to hold the subject is absent or is no text.
    #[error("the ID token has no claim {0}, which is configured to say who the person is")]
    SubjectClaim(String),
    /// A refreshed ID token, or the userinfo, is another person's.
    #[error("the provider's answer is about another person")]
    OtherSubject,
    /// The issuer's keys cannot be had.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}
