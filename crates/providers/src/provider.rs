//! One provider.

use latchkey_domain::{AccessToken, Issuer, ProviderName, RefreshToken, ScopeSet, Subject};
use url::Url;

use crate::{
    Access, AuthorizeRequest, FailureClass, IdTokenError, ProviderAccess, ProviderError,
    ProviderKind, Purpose, Revocation, Rotation, TokenError, TokenResponse, VerifiedIdentity,
};

/// One provider: its definition, what was discovered of it and its keys.
#[derive(Debug)]
pub struct Provider {
    name: ProviderName,
}

#[expect(clippy::unused_async, reason = "signatures first")]
impl Provider {
    /// Configured name: `google`, `microsoft`, or that of the definition.
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// Whose quirks it has.
    pub fn kind(&self) -> ProviderKind {
        ProviderKind::Oidc
    }

    /// Name for people.
    pub fn label(&self) -> &str {
        self.name.as_str()
    }

    /// Scopes to ask for: identity always; mail and calendar where they are on
    /// and, when signing in, automatic connection is (R6, R13).
    pub fn wanted_scopes(&self, _purpose: Purpose) -> ScopeSet {
        ScopeSet::default()
    }

    /// Where the provider sends the browser back; absent in a process without
    /// `PUBLIC_URL`.
    pub fn redirect_uri(&self, _purpose: Purpose) -> Option<&Url> {
        None
    }

    /// Where to send the browser.
    ///
    /// # Errors
    /// Discovery fails, or there is no callback URL.
    pub async fn authorize_url(&self, _request: &AuthorizeRequest) -> Result<Url, ProviderError> {
        Err(ProviderError::NoCallback(self.name.to_string()))
    }

    /// Checks `iss` of a callback, also of one that tells an error (RFC 9207).
    ///
    /// # Errors
    /// It is another's, or absent although announced.
    pub async fn check_response_issuer(&self, _iss: Option<&str>) -> Result<(), ProviderError> {
        Err(ProviderError::IssuerMissing)
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// The provider gave none.
    pub async fn exchange_code(
        &self,
        _purpose: Purpose,
        _code: &str,
        _pkce_verifier: &str,
    ) -> Result<TokenResponse, TokenError> {
        Err(TokenError::of(FailureClass::Unknown))
    }

    /// Verifies the ID token of a sign-in.
    ///
    /// # Errors
    /// It proves nothing.
    pub async fn verify_id_token(
        &self,
        _id_token: &str,
        _expected_nonce: &str,
        _access_token: &AccessToken,
    ) -> Result<VerifiedIdentity, IdTokenError> {
        Err(IdTokenError::Missing)
    }

    /// Verifies the ID token of a refresh, after what came with it was stored:
    /// the same person (OpenID Connect Core section 12.2); a nonce may be absent.
    ///
    /// # Errors
    /// It proves nothing, or another person.
    pub async fn verify_refreshed_id_token(
        &self,
        _id_token: &str,
        _access_token: &AccessToken,
        _issuer: &Issuer,
        _subject: &Subject,
    ) -> Result<VerifiedIdentity, IdTokenError> {
        Err(IdTokenError::Missing)
    }

    /// What a grant with these scopes gives (R23).
    pub fn access(&self, _granted: &ScopeSet) -> ProviderAccess {
        ProviderAccess {
            messages: Access::NotWanted,
            calendar: Access::NotWanted,
        }
    }

    /// Asks for a new access token.
    ///
    /// # Errors
    /// The provider gave none; the class says what to do.
    pub async fn refresh(
        &self,
        _refresh_token: &RefreshToken,
    ) -> Result<TokenResponse, TokenError> {
        Err(TokenError::of(FailureClass::Unknown))
    }

    /// Revokes the grant (RFC 7009).
    ///
    /// # Errors
    /// The provider did not confirm.
    pub async fn revoke(&self, _refresh_token: &RefreshToken) -> Result<Revocation, TokenError> {
        Ok(Revocation::NotSupported)
    }

    /// What it does with refresh tokens.
    pub fn rotation(&self) -> Rotation {
        Rotation::Strict
    }

    /// True where a sign-in of a person of this domain connects the account
    /// (R13).
    pub fn auto_connect(&self, _domain: &str) -> bool {
        false
    }
}
