//! The token and the revocation endpoint.
//!
//! `oauth2` makes the requests; sending them and reading the answers is done
//! here: it drops a rotated refresh token where another field is odd, and tells
//! a time-out from a refusal in one way only.

use std::borrow::Cow;

use latchkey_domain::{RefreshToken, ScopeSet};
use latchkey_scopes::microsoft_short;
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, HttpRequest, HttpResponse,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, RevocationUrl, StandardRevocableToken,
    TokenUrl,
};
use secrecy::ExposeSecret as _;
use url::Url;

use super::Provider;
use crate::client_auth::{ASSERTION_TYPE, ClientAuthentication};
use crate::discovery::Metadata;
use crate::transport::Response;
use crate::{
    FailureClass, ProviderKind, Purpose, Revocation, TokenError, TokenResponse, classify,
    microsoft, token_response,
};

/// A request that `oauth2` made, on its way out.
#[derive(Debug, thiserror::Error)]
#[error("the request is sent elsewhere")]
struct Made(Box<HttpRequest>);

fn made(request: HttpRequest) -> Result<HttpResponse, Made> {
    Err(Made(Box::new(request)))
}

/// The request that `oauth2` would have sent.
fn request<T, E>(result: Result<T, RequestTokenError<Made, E>>) -> Result<HttpRequest, TokenError>
where
    E: oauth2::ErrorResponse + 'static,
{
    match result {
        Err(RequestTokenError::Request(Made(request))) => Ok(*request),
        _ => Err(TokenError::of(FailureClass::RequestRejected).not_sent()),
    }
}

impl Provider {
    async fn send(&self, endpoint: &Url, request: HttpRequest) -> Result<Response, TokenError> {
        self.http
            .form(endpoint, request)
            .await
            .map_err(|failure| classify::failure(&failure))
    }

    fn client(&self, metadata: &Metadata) -> BasicClient {
        let auth = match metadata.client_authentication {
            ClientAuthentication::Basic => AuthType::BasicAuth,
            _ => AuthType::RequestBody,
        };
        let client = BasicClient::new(ClientId::new(self.client_id().to_owned()));
        let client = client.set_auth_type(auth);
        let secret = self.definition.client_secret.as_ref();
        match (&metadata.client_authentication, secret) {
            (ClientAuthentication::Basic | ClientAuthentication::Post, Some(secret)) => {
                client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            }
            _ => client,
        }
    }

    /// What the form has besides, where the client proves itself by an assertion.
    fn assertion(&self, metadata: &Metadata) -> Result<Vec<(&'static str, String)>, TokenError> {
        let ClientAuthentication::PrivateKey(key) = &metadata.client_authentication else {
            return Ok(Vec::new());
        };
        let audience = metadata.token.as_str();
        let assertion = key
            .assert(self.client_id(), audience, self.clock.now())
            .ok_or_else(|| TokenError::of(FailureClass::ClientMisconfigured).not_sent())?;
        Ok(vec![
            ("client_assertion_type", ASSERTION_TYPE.to_owned()),
            ("client_assertion", assertion),
        ])
    }

    /// Exchanges a code for tokens. Scopes that the answer does not name are
    /// those that were asked for (RFC 6749 section 5.1).
    ///
    /// # Errors
    /// The provider gave none.
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    pub async fn exchange_code(
        &self,
        purpose: Purpose,
        code: &str,
        pkce_verifier: &str,
    ) -> Result<TokenResponse, TokenError> {
        let metadata = self.discovered().await?;
        let redirect_uri = self
            .redirect_uri(purpose)
            .ok_or_else(|| TokenError::of(FailureClass::RequestRejected))?;
        let client = self
            .client(&metadata)
            .set_token_uri(TokenUrl::from_url(metadata.token.clone()));
        let mut token_request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(pkce_verifier.to_owned()))
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect_uri.clone())));
        for (name, value) in self.assertion(&metadata)? {
            token_request = token_request.add_extra_param(name, value);
        }
        let result = token_request.request(&made);
        let answer = self.send(&metadata.token, request(result)?).await?;
        let mut answer = self.read(&answer, &[code, pkce_verifier])?;
        if answer.granted_scopes.is_none() {
            answer.granted_scopes = Some(self.requested_scopes(purpose, &metadata));
        }
        Ok(answer)
    }

    /// Asks for a new access token. Ends within
    /// [`REQUEST_DEADLINE`](crate::REQUEST_DEADLINE).
    ///
    /// # Errors
    /// The provider gave none; the class says what to do.
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    pub async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.refresh_with(refresh_token, None).await
    }

    /// Asks for a new access token that meets a claims challenge of an API (Microsoft).
    ///
    /// # Errors
    /// The provider gave none; the class says what to do.
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    pub async fn refresh_with(
        &self,
        refresh_token: &RefreshToken,
        challenge: Option<&str>,
    ) -> Result<TokenResponse, TokenError> {
        let metadata = self.discovered().await?;
        let client = self
            .client(&metadata)
            .set_token_uri(TokenUrl::from_url(metadata.token.clone()));
        let token = oauth2::RefreshToken::new(refresh_token.expose().to_owned());
        let mut token_request = client.exchange_refresh_token(&token);
        if self.kind() == ProviderKind::Microsoft {
            let claims = microsoft::claims_parameter(challenge);
            token_request = token_request.add_extra_param("claims", claims);
        }
        for (name, value) in self.assertion(&metadata)? {
            token_request = token_request.add_extra_param(name, value);
        }
        let result = token_request.request(&made);
        let answer = self
            .http
            .refresh_form(&metadata.token, request(result)?)
            .await
            .map_err(|failure| classify::failure(&failure))?;
        self.read(&answer, &[refresh_token.expose()])
    }

    /// Revokes the grant (RFC 7009). One that the provider no longer knows
    /// counts as revoked.
    ///
    /// # Errors
    /// The provider did not confirm.
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    pub async fn revoke(&self, refresh_token: &RefreshToken) -> Result<Revocation, TokenError> {
        let metadata = self.discovered().await?;
        let Some(endpoint) = &metadata.revocation else {
            return Ok(Revocation::NotSupported);
        };
        // `oauth2` takes https:// only. Discovery let http:// pass for loopback
        // hosts, and the request goes to `endpoint` in any case.
        let mut formal = endpoint.clone();
        let _ = formal.set_scheme("https");
        let client = self
            .client(&metadata)
            .set_revocation_url(RevocationUrl::from_url(formal));
        let token = oauth2::RefreshToken::new(refresh_token.expose().to_owned());
        let mut revocation_request = client
            .revoke_token(StandardRevocableToken::RefreshToken(token))
            .map_err(|_| TokenError::of(FailureClass::RequestRejected))?;
        for (name, value) in self.assertion(&metadata)? {
            revocation_request = revocation_request.add_extra_param(name, value);
        }
        let result = revocation_request.request(&made);
        let answer = self.send(endpoint, request(result)?).await?;
        if answer.status.is_success() {
            return Ok(Revocation::Confirmed);
        }
        let refused = self.refusal(&answer, &[refresh_token.expose()]);
        match refused.code.as_deref() {
            Some("invalid_token" | "invalid_grant") => Ok(Revocation::Confirmed),
            Some("unsupported_token_type") => Ok(Revocation::NotSupported),
            _ => Err(refused),
        }
    }

    async fn discovered(&self) -> Result<std::sync::Arc<Metadata>, TokenError> {
        self.metadata()
            .await
            .map_err(|error| classify::undiscovered(&error))
    }

    fn refusal(&self, answer: &Response, sent: &[&str]) -> TokenError {
        let secret = self.definition.client_secret.as_ref();
        let mut sent = sent.to_vec();
        sent.extend(secret.map(secrecy::ExposeSecret::expose_secret));
        classify::refusal(self.kind(), answer, self.clock.now(), &sent)
    }

    fn read(&self, answer: &Response, sent: &[&str]) -> Result<TokenResponse, TokenError> {
        if !answer.status.is_success() || classify::refuses(&answer.body) {
            return Err(self.refusal(answer, sent));
        }
        let mut response = token_response::parse(&answer.body)?;
        if self.kind() == ProviderKind::Microsoft {
            response.granted_scopes = response
                .granted_scopes
                .map(|scopes| scopes.iter().map(microsoft_short).collect::<ScopeSet>());
        }
        Ok(response)
    }
}
