//! Requests to a provider and their results.

use std::fmt;
use std::time::Duration;

use latchkey_domain::{
    AccessToken, Handle, Issuer, ProviderSessionId, RefreshToken, ScopeSet, Subject,
};

use crate::{AuthenticationContext, ProviderError};

/// Purpose of an authorization request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The person signs in.
    SignIn,
    /// A person who is signed in connects an account.
    Connect,
}

/// An authorization request.
#[derive(Clone)]
pub struct AuthorizeRequest {
    /// Determines the redirect URI and the scopes.
    pub purpose: Purpose,
    /// `state`: at least 128 random bits, used once.
    pub state: String,
    /// `nonce`, which the ID token must contain.
    pub nonce: String,
    /// PKCE challenge with S256 (RFC 7636): base64url of the SHA-256 of the verifier.
    pub pkce_challenge: String,
    /// `login_hint`: mail address of the account that the person should choose.
    pub login_hint: Option<String>,
    /// Domain to which the account must belong (Google's `hd`). Set only if exactly one
    /// domain may sign in, because it excludes every other (R7).
    pub hosted_domain: Option<String>,
    /// The person must consent again, because no refresh token is stored.
    pub consent: bool,
    /// Claims challenge of an earlier [`TokenError`](crate::TokenError).
    pub claims: Option<String>,
    /// Language tag for the provider's pages (`ui_locales`). Providers ignore unknown ones.
    pub locale: Option<String>,
    /// Offline access is left out, because a live grant is stored.
    pub reuses_grant: bool,
}

impl AuthorizeRequest {
    /// Values of `prompt`, the most important one first (OpenID Connect Core section
    /// 3.1.2.1): what the person must be shown again. Some providers give offline access
    /// only with `prompt=consent` (section 11). `select_account` is `true` if the provider
    /// supports that value.
    pub(crate) fn prompts(&self, select_account: bool) -> Vec<&'static str> {
        let chooses =
            select_account && self.purpose == Purpose::Connect && self.login_hint.is_none();
        let consent = self.consent.then_some("consent");
        let account = chooses.then_some("select_account");
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

/// Response of a token endpoint.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: AccessToken,
    /// New refresh token. `None` if the old one remains valid (R31).
    pub refresh_token: Option<RefreshToken>,
    /// Lifetime of the refresh token. `None` if the provider names none, or it does not
    /// expire.
    pub refresh_token_expires_in: Option<Duration>,
    /// Lifetime of the access token. `None` if the provider names no usable one.
    pub expires_in: Option<Duration>,
    /// Scopes of the grant. Always present after
    /// [`exchange_code`](crate::Provider::exchange_code). `None` after a refresh that did
    /// not change them.
    pub granted_scopes: Option<ScopeSet>,
    /// The ID token, not yet verified.
    pub id_token: Option<IdToken>,
}

/// An ID token that is not yet verified. It does not print.
#[derive(Clone)]
pub struct IdToken(String);

impl IdToken {
    /// Wraps an ID token as the provider sent it.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The JWT in compact form.
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

/// The identity of a person, from a verified ID token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIdentity {
    /// `iss`.
    pub issuer: Issuer,
    /// `sub`; for Microsoft `<tid>/<oid>`.
    pub subject: Subject,
    /// Mail address, if there is one. It is a label and never a key.
    pub email: Option<Handle>,
    /// Whether the address is verified.
    pub email_status: EmailStatus,
    /// The organisation that owns the account (Google's `hd`).
    pub hosted_domain: Option<String>,
    /// Tenant of the account (Microsoft's `tid`).
    pub tenant: Option<String>,
    /// Name of the person, 200 characters at most.
    pub name: Option<String>,
    /// Session of the person at the provider (`sid`).
    pub session: Option<ProviderSessionId>,
    /// How and when the person authenticated. Empty after a refresh.
    pub authentication: AuthenticationContext,
}

impl VerifiedIdentity {
    /// Returns `true` if the address is verified.
    pub fn email_verified(&self) -> bool {
        self.email_status == EmailStatus::Verified
    }
}

/// Whether a mail address is verified by a provider that may vouch for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailStatus {
    /// The address is verified: by Google's `email_verified`; by Microsoft's `xms_edov`,
    /// or as a principal name of the one tenant that is configured; by another
    /// provider's `email_verified`, for the domains for which it may vouch.
    Verified,
    /// The address is not verified.
    Unverified(Unverified),
}

/// Why an address is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unverified {
    /// The provider does not say that the address is verified.
    NotSaid,
    /// The provider may not vouch for this domain (`…_EMAIL_DOMAINS`).
    OtherDomain {
        /// Domains for which it may vouch.
        may_vouch_for: Vec<String>,
    },
    /// The ID token does not say it, and the userinfo endpoint did not respond.
    Unanswered(ProviderError),
}

/// Access to one kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Switched off for this provider, so there is no channel.
    NotWanted,
    /// Requested and granted.
    Granted,
    /// Requested and not granted: the channel shows insufficient permissions (R23).
    Denied,
}

/// The data that a grant gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProviderAccess {
    /// Mail.
    pub messages: Access,
    /// Calendars.
    pub calendar: Access,
}

/// What a provider does with a refresh token that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// The refresh token remains the same (Google). A refresh with an unknown outcome may
    /// be repeated.
    None,
    /// A new refresh token is issued, and the old one remains valid (Microsoft). A refresh
    /// may be repeated.
    Soft,
    /// A new refresh token is issued, and use of the old one counts as theft. A refresh
    /// with an unknown outcome may be repeated once.
    Strict,
}

/// What a provider revokes together with one refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReach {
    /// The tokens of the same authorization (RFC 7009 section 2.1).
    Authorization,
    /// Every token of the person for this client (Google), so that other accounts of the
    /// same person end as well.
    PersonAndClient,
}

/// Result of a revocation (RFC 7009).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// The provider confirmed that the grant is revoked.
    Confirmed,
    /// The provider has no revocation endpoint.
    NotSupported,
}
