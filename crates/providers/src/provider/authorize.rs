//! The authorization request, perhaps pushed (RFC 9126), and the issuer of its response.

use latchkey_domain::ScopeSet;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, RedirectUrl, Scope};
use url::Url;

use super::{OFFLINE_ACCESS, Provider};
use crate::client_auth::ClientAuthentication;
use crate::discovery::Metadata;
use crate::{AuthorizeRequest, Mismatch, ProviderError, TokenError, for_log, pushed_authorization};

impl Provider {
    /// The URL that the browser is sent to: authorization code with PKCE S256 (RFC 7636). A
    /// pushed request is sent to the provider before, and the URL has its reference only.
    ///
    /// # Errors
    /// Discovery fails, no callback URL is configured, or the provider does not accept the
    /// pushed request.
    pub async fn authorize_url(&self, request: &AuthorizeRequest) -> Result<Url, ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = self.pushed_authorization(&metadata)?;
        let url = self.authorization_request(request, &metadata)?;
        match endpoint {
            None => Ok(url),
            Some(endpoint) => self.push(&metadata, endpoint, request, &url).await,
        }
    }

    /// The endpoint that authorization requests are pushed to. `None`: they are not pushed.
    ///
    /// # Errors
    /// What is configured and what the provider announces contradict each other.
    pub(super) fn pushed_authorization<'a>(
        &self,
        metadata: &'a Metadata,
    ) -> Result<Option<&'a Url>, ProviderError> {
        self.definition.pushed_authorization.endpoint(
            metadata.requires_pushed_authorization,
            metadata.pushed_authorization.as_ref(),
        )
    }

    /// Pushes a request and returns the URL with its reference (RFC 9126 section 4).
    #[tracing::instrument(skip_all, fields(provider = %self.name()))]
    async fn push(
        &self,
        metadata: &Metadata,
        endpoint: &Url,
        request: &AuthorizeRequest,
        url: &Url,
    ) -> Result<Url, ProviderError> {
        // The authorization endpoint may have parameters of its own.
        let own = metadata.authorization.query_pairs().count();
        // In the other methods the client id is a part of the authentication.
        let in_header = matches!(metadata.client_authentication, ClientAuthentication::Basic);
        let parameters = url
            .query_pairs()
            .skip(own)
            .filter(|(name, _)| in_header || name != "client_id")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let sent = [request.state.as_str(), request.nonce.as_str()];
        let answer = self
            .send_authenticated(metadata, endpoint, parameters, &sent)
            .await
            .map_err(|error| not_pushed(&error))?;
        let reference =
            pushed_authorization::request_uri(&answer.body).ok_or(ProviderError::NoRequestUri)?;
        let mut url = metadata.authorization.clone();
        url.query_pairs_mut()
            .append_pair("client_id", self.client_id())
            .append_pair("request_uri", &reference);
        Ok(url)
    }

    fn authorization_request(
        &self,
        request: &AuthorizeRequest,
        metadata: &Metadata,
    ) -> Result<Url, ProviderError> {
        let redirect_uri = self
            .redirect_uri(request.purpose)
            .ok_or_else(|| ProviderError::NoCallback(self.name().to_string()))?;
        let client = BasicClient::new(ClientId::new(self.client_id().to_owned()))
            .set_auth_uri(AuthUrl::from_url(metadata.authorization.clone()))
            .set_redirect_uri(RedirectUrl::from_url(redirect_uri.clone()));
        let mut scopes: ScopeSet = self.requested_scopes(request.purpose, metadata);
        if request.reuses_grant {
            scopes = scopes
                .iter()
                .filter(|scope| *scope != OFFLINE_ACCESS)
                .collect();
        }
        let quirks = self.definition.quirks;
        let select_account = self.definition.select_account.unwrap_or_else(|| {
            quirks.documents_select_account() || metadata.supports_prompt("select_account")
        });
        let prompts = request.prompts(select_account);
        let with_data = self.asks_for_data(request.purpose);
        let own = quirks.authorize_parameters(request, &prompts, with_data);
        let mut url = client
            .authorize_url(|| CsrfToken::new(request.state.clone()))
            .add_scopes(scopes.iter().map(|scope| Scope::new(scope.to_owned())))
            .add_extra_param("nonce", request.nonce.as_str())
            .add_extra_param("code_challenge", request.pkce_challenge.as_str())
            .add_extra_param("code_challenge_method", "S256");
        if self.definition.form_post {
            url = url.add_extra_param("response_mode", "form_post");
        }
        if let Some(hint) = &request.login_hint {
            url = url.add_extra_param("login_hint", hint.as_str());
        }
        if let Some(locale) = &request.locale {
            url = url.add_extra_param("ui_locales", locale.as_str());
        }
        let required = self.definition.authentication.parameters();
        for (name, value) in own.into_iter().chain(required) {
            url = url.add_extra_param(name, value);
        }
        for (name, value) in &self.definition.authorize_parameters {
            url = url.add_extra_param(name.as_str(), value.as_str());
        }
        Ok(url.url().0)
    }

    /// Checks the parameter `iss` of a callback, also of one with an error (RFC 9207).
    ///
    /// # Errors
    /// `iss` is another issuer, or absent although the provider announces it.
    pub async fn check_response_issuer(&self, iss: Option<&str>) -> Result<(), ProviderError> {
        match iss {
            Some(iss) if self.is_own_issuer(iss) => Ok(()),
            Some(iss) => {
                let own = self.definition.issuer.shown();
                Err(ProviderError::IssuerMismatch(Mismatch::new(own, Some(iss))))
            }
            None if self.metadata().await?.response_iss => Err(ProviderError::IssuerMissing),
            None => Ok(()),
        }
    }

    /// Returns `true` if `iss` is an issuer of this provider.
    pub fn is_own_issuer(&self, iss: &str) -> bool {
        self.definition.issuer.accepts(iss)
    }
}

fn not_pushed(error: &TokenError) -> ProviderError {
    let problem = match &error.description {
        Some(description) => format!("{error}: \"{}\"", for_log(description)),
        None => error.to_string(),
    };
    ProviderError::NotPushed {
        class: error.class,
        problem,
    }
}
