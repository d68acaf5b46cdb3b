//! What goes in to a provider and comes out of it.

use std::fmt;
use std::time::Duration;

use crate::{ProviderError, ScopeRules};
use latchkey_domain::{AccessToken, Handle, Issuer, RefreshToken, ScopeSet, Subject};

/// Whose quirks a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// Google.
    Google,
    /// Microsoft Entra ID.
    Microsoft,
    /// Any OpenID provider.
    Oidc,
}

impl ProviderKind {
    /// How its scopes are compared.
    pub const fn scope_rules(self) -> ScopeRules {
        match self {
            Self::Google => ScopeRules::Google,
            Self::Microsoft => ScopeRules::Microsoft,
            Self::Oidc => ScopeRules::Exact,
        }
    }
}

/// What a person is sent to the provider for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Signing in.
    SignIn,
    /// Connecting a further account, from a running session.
    Connect,
}

/// What an authorize URL is made of.
#[derive(Clone)]
pub struct AuthorizeRequest {
    /// Decides the redirect URI and the scopes.
    pub purpose: Purpose,
    /// `state`: at least 128 bit, once.
    pub state: String,
    /// `nonce` that the ID token must bring back.
    pub nonce: String,
    /// PKCE challenge, S256 (RFC 7636): base64url of the SHA-256 of the verifier.
    pub pkce_challenge: String,
    /// Address to fill in for the person.
    pub login_hint: Option<String>,
    /// One domain that the account must be of (Google's `hd`). Only where the
    /// flow asks for a single one: it shuts out every other (R7).
    pub hosted_domain: Option<String>,
    /// True where the person must consent again: no refresh token is stored.
    pub consent: bool,
    /// Claims challenge of an earlier [`TokenError`](crate::TokenError).
    pub claims: Option<String>,
}

impl AuthorizeRequest {
    /// What the person must be shown whatever the provider remembers, the most
    /// important first: values of `prompt` (OpenID Connect Core section 3.1.2.1).
    /// OpenID Connect Core section 11: a strict provider gives offline access only
    /// together with `prompt=consent`. `choice` is whether it knows `select_account`.
    pub(crate) fn prompts(&self, choice: bool) -> Vec<&'static str> {
        let may_choose = choice && self.purpose == Purpose::Connect && self.login_hint.is_none();
        let consent = self.consent.then_some("consent");
        let account = may_choose.then_some("select_account");
        consent.into_iter().chain(account).collect()
    }
}

impl fmt::Debug for AuthorizeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeRequest")
            .field("purpose", &self.purpose)
            .field("consent", &self.consent)
            .finish_non_exhaustive()
    }
}

/// Answer of a token endpoint.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: AccessToken,
    /// A new refresh token; absent where the old one stays (R31).
    pub refresh_token: Option<RefreshToken>,
    /// How long the refresh token lives; absent where the provider did not say, or
    /// says that it lives on.
    pub refresh_token_expires_in: Option<Duration>,
    /// Lifetime of the access token; absent where the provider did not say or said
    /// something absurd.
    pub expires_in: Option<Duration>,
    /// Scopes of the grant. After [`exchange_code`](crate::Provider::exchange_code)
    /// always present; after a refresh absent where they did not change.
    pub granted_scopes: Option<ScopeSet>,
    /// The ID token, not yet verified.
    pub id_token: Option<IdToken>,
}

/// An ID token as it came: not yet verified, and not for a log.
#[derive(Clone)]
pub struct IdToken(String);

impl IdToken {
    /// Takes what the provider sent.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The JWT.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for IdToken {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken([redacted])")
    }
}

/// A person, proven by a verified ID token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIdentity {
    /// `iss`.
    pub issuer: Issuer,
    /// `sub`; for Microsoft `<tid>/<oid>`.
    pub subject: Subject,
    /// Mailbox address, where there is one. A label, never a key.
    pub email: Option<Handle>,
    /// Whether the address is verified by somebody who may say so.
    pub email_status: EmailStatus,
    /// Google's `hd`: the organisation that owns the account.
    pub hosted_domain: Option<String>,
    /// Microsoft's `tid`.
    pub tenant: Option<String>,
    /// Name to show, 200 characters at most.
    pub name: Option<String>,
}

impl VerifiedIdentity {
    /// Returns `true` if the address is verified.
    pub fn email_verified(&self) -> bool {
        self.email_status == EmailStatus::Verified
    }
}

/// Whether an address is verified by somebody who may say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailStatus {
    /// It is: Google's `email_verified`; Microsoft's `xms_edov`, or a principal
    /// name of the one tenant that is configured; another provider's
    /// `email_verified` within the domains that it may vouch for.
    Verified,
    /// It is not.
    Unverified(Unverified),
}

/// Why an address is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unverified {
    /// The provider says so, or does not say that it is.
    NotSaid,
    /// The provider may not vouch for this domain (`…_EMAIL_DOMAINS`).
    OtherDomain {
        /// Domains that it may vouch for.
        may_vouch_for: Vec<String>,
    },
    /// The ID token does not say, and the userinfo endpoint did not answer.
    Unanswered(ProviderError),
}

/// One kind of data: wanted by the configuration, granted by the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Switched off for this provider: no channel.
    NotWanted,
    /// RequestedData and granted: the channel runs.
    Granted,
    /// RequestedData and not granted: the channel says insufficient permissions (R23).
    Denied,
}

/// What a grant gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProviderAccess {
    /// Mail.
    pub messages: Access,
    /// Calendars.
    pub calendar: Access,
}

/// What a provider does with the refresh token at each refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// Keeps it (Google): a refresh of unknown outcome may be sent again.
    None,
    /// Gives a new one, the old one still works (Microsoft): may be sent again.
    Soft,
    /// Gives a new one and takes the use of the old one for theft: may be sent
    /// again once.
    Strict,
}

/// What a provider ends with the revocation of one refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReach {
    /// The token and what came of the same authorization (RFC 7009 section 2.1).
    Authorization,
    /// Every token that the person gave this client (Google): other accounts of
    /// the same person end as well.
    PersonAndClient,
}

/// What became of a revocation (RFC 7009).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// The provider says that the grant is gone.
    Confirmed,
    /// The provider has no revocation endpoint.
    NotSupported,
}
