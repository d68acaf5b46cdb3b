//! The token endpoint and the revocation endpoint.
//!
//! The crate `oauth2` makes the requests. They are sent and their responses are read
//! here, because `oauth2` loses a rotated refresh token if another field is malformed,
//! and does not distinguish how far a failed request came.

use std::borrow::Cow;

use latchkey_domain::{RefreshToken, ScopeSet};
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, DeviceAuthorizationUrl, HttpRequest,
    HttpResponse, PkceCodeVerifier, RedirectUrl, RequestTokenError, RevocationUrl,
    StandardDeviceAuthorizationResponse, StandardRevocableToken, TokenUrl,
};
use secrecy::ExposeSecret as _;
use url::Url;

use super::Provider;
use crate::client_auth::{Audience, ClientAssertion, ClientAuthentication, Statement};
use crate::discovery::Metadata;
use crate::transport::Response;
use crate::{
    FailureClass, Purpose, Revocation, TokenError, TokenResponse, classify, token_response,
};

/// Takes a request out of `oauth2` by way of an error.
#[derive(Debug, thiserror::Error)]
#[error("the request is not sent by oauth2")]
struct UnsentRequest(Box<HttpRequest>);

fn do_not_send(request: HttpRequest) -> Result<HttpResponse, UnsentRequest> {
    Err(UnsentRequest(Box::new(request)))
}

/// The request that `oauth2` made.
fn request<T, E>(
    result: Result<T, RequestTokenError<UnsentRequest, E>>,
) -> Result<HttpRequest, TokenError>
where
    E: oauth2::ErrorResponse + 'static,
{
    match result {
        Err(RequestTokenError::Request(UnsentRequest(request))) => Ok(*request),
        _ => Err(TokenError::of(FailureClass::RequestRejected).not_sent()),
    }
}

/// What a response may repeat and no log may show.
fn sent_with<'a>(token: &'a RefreshToken, assertion: Option<&'a ClientAssertion>) -> Vec<&'a str> {
    let assertion = assertion.map(ClientAssertion::expose);
    std::iter::once(token.expose()).chain(assertion).collect()
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

    /// The assertion of one request. `None` if the client authenticates without one.
    async fn assertion(&self, metadata: &Metadata) -> Result<Option<ClientAssertion>, TokenError> {
        let definition = &self.definition;
        let statement = Statement {
            client_id: self.client_id(),
            // Also for the revocation endpoint: RFC 7009 names no other audience.
            audience: match definition.assertion_audience {
                Audience::TokenEndpoint => metadata.token.as_str(),
                Audience::Issuer => definition.issuer.shown(),
            },
            now: self.clock.now(),
        };
        let secret = definition.client_secret.as_ref();
        let assertion = metadata.client_authentication.assertion(
            &statement,
            secret,
            &metadata.assertion_algorithms,
        );
        Ok(assertion.await?)
    }

    /// Exchanges an authorization code for tokens. If the response names no scopes, they
    /// are those that were requested (RFC 6749 section 5.1).
    ///
    /// # Errors
    /// The provider gave no tokens.
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    pub async fn exchange_code(
        &self,
        purpose: Purpose,
        code: AuthorizationCode,
        pkce_verifier: PkceCodeVerifier,
    ) -> Result<TokenResponse, TokenError> {
        let metadata = self.discovered().await?;
        let redirect_uri = self
            .redirect_uri(purpose)
            .ok_or_else(|| TokenError::of(FailureClass::RequestRejected))?;
        let client = self
            .client(&metadata)
            .set_token_uri(TokenUrl::from_url(metadata.token.clone()));
        let assertion = self.assertion(&metadata).await?;
        // The response may repeat what was sent.
        let sent = [code.secret().clone(), pkce_verifier.secret().clone()];
        let mut sent: Vec<&str> = sent.iter().map(String::as_str).collect();
        sent.extend(assertion.as_ref().map(ClientAssertion::expose));
        let mut token_request = client
            .exchange_code(code)
            .set_pkce_verifier(pkce_verifier)
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect_uri.clone())));
        for (name, value) in assertion.iter().flat_map(ClientAssertion::parameters) {
            token_request = token_request.add_extra_param(name, value);
        }
        let result = token_request.request(&do_not_send);
        let answer = self.send(&metadata.token, request(result)?).await?;
        let mut answer = self.read(&answer, &sent)?;
        if answer.granted_scopes.is_none() {
            answer.granted_scopes = Some(self.requested_scopes(purpose, &metadata));
        }
        Ok(answer)
    }

    /// Requests a new access token. Ends within
    /// [`REQUEST_DEADLINE`](crate::REQUEST_DEADLINE).
    ///
    /// # Errors
    /// The provider gave no token; the class says what to do.
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    pub async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.refresh_with(refresh_token, None).await
    }

    /// Requests a new access token that satisfies a claims challenge of an API (Microsoft).
    ///
    /// # Errors
    /// The provider gave no token; the class says what to do.
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
        let assertion = self.assertion(&metadata).await?;
        let mut token_request = client.exchange_refresh_token(&token);
        for (name, value) in self.definition.quirks.refresh_parameters(challenge) {
            token_request = token_request.add_extra_param(name, value);
        }
        for (name, value) in assertion.iter().flat_map(ClientAssertion::parameters) {
            token_request = token_request.add_extra_param(name, value);
        }
        let result = token_request.request(&do_not_send);
        let answer = self
            .http
            .refresh_form(&metadata.token, request(result)?)
            .await
            .map_err(|failure| classify::failure(&failure))?;
        self.read(&answer, &sent_with(refresh_token, assertion.as_ref()))
    }

    /// Revokes the grant (RFC 7009). A grant that the provider does not know counts as
    /// revoked.
    ///
    /// # Errors
    /// The provider did not confirm the revocation.
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    pub async fn revoke(&self, refresh_token: &RefreshToken) -> Result<Revocation, TokenError> {
        let metadata = self.discovered().await?;
        let Some(endpoint) = &metadata.revocation else {
            return Ok(Revocation::NotSupported);
        };
        // `oauth2` accepts https:// only, and discovery accepts http:// for loopback hosts.
        // The request is sent to `endpoint` in any case.
        let mut formal = endpoint.clone();
        let _ = formal.set_scheme("https");
        let client = self
            .client(&metadata)
            .set_revocation_url(RevocationUrl::from_url(formal));
        let token = oauth2::RefreshToken::new(refresh_token.expose().to_owned());
        let assertion = self.assertion(&metadata).await?;
        let mut revocation_request = client
            .revoke_token(StandardRevocableToken::RefreshToken(token))
            .map_err(|_| TokenError::of(FailureClass::RequestRejected))?;
        for (name, value) in assertion.iter().flat_map(ClientAssertion::parameters) {
            revocation_request = revocation_request.add_extra_param(name, value);
        }
        let result = revocation_request.request(&do_not_send);
        let answer = self.send(endpoint, request(result)?).await?;
        if answer.status.is_success() {
            return Ok(Revocation::Confirmed);
        }
        let refused = self.refusal(&answer, &sent_with(refresh_token, assertion.as_ref()));
        match refused.code.as_deref() {
            Some("invalid_token" | "invalid_grant") => Ok(Revocation::Confirmed),
            Some("unsupported_token_type") => Ok(Revocation::NotSupported),
            _ => Err(refused),
        }
    }

    /// Sends parameters to another endpoint, at which the client authenticates as at the token
    /// endpoint. `oauth2` has no such request; that of RFC 8628 adds nothing to the parameters
    /// but the authentication.
    ///
    /// # Errors
    /// The provider refused the request, or there is no complete response. The error has nothing of
    /// `sent`.
    pub(super) async fn send_authenticated(
        &self,
        metadata: &Metadata,
        endpoint: &Url,
        parameters: Vec<(String, String)>,
        sent: &[&str],
    ) -> Result<Response, TokenError> {
        let client = self
            .client(metadata)
            .set_device_authorization_url(DeviceAuthorizationUrl::from_url(endpoint.clone()));
        let mut form = client.exchange_device_code();
        for (name, value) in parameters {
            form = form.add_extra_param(name, value);
        }
        let assertion = self.assertion(metadata).await?;
        for (name, value) in assertion.iter().flat_map(ClientAssertion::parameters) {
            form = form.add_extra_param(name, value);
        }
        let result: Result<StandardDeviceAuthorizationResponse, _> = form.request(&do_not_send);
        let answer = self.send(endpoint, request(result)?).await?;
        if !answer.status.is_success() || classify::refuses(&answer.body) {
            let mut sent = sent.to_vec();
            sent.extend(assertion.as_ref().map(ClientAssertion::expose));
            return Err(self.refusal(&answer, &sent));
        }
        Ok(answer)
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
        classify::refusal(self.definition.quirks, answer, self.clock.now(), &sent)
    }

    fn read(&self, answer: &Response, sent: &[&str]) -> Result<TokenResponse, TokenError> {
        if !answer.status.is_success() || classify::refuses(&answer.body) {
            return Err(self.refusal(answer, sent));
        }
        let mut response = token_response::parse(&answer.body)?;
        let quirks = self.definition.quirks;
        response.granted_scopes = response.granted_scopes.map(|scopes| {
            let stored = scopes.iter().map(|scope| quirks.stored_scope(scope));
            stored.collect::<ScopeSet>()
        });
        Ok(response)
    }
}
