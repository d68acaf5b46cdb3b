//! The authorization request, and the issuer of its response.

use latchkey_domain::ScopeSet;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, RedirectUrl, Scope};
use url::Url;

use super::Provider;
use crate::{AuthorizeRequest, Mismatch, ProviderError};

impl Provider {
    /// The URL of the authorization request: authorization code with PKCE S256 (RFC 7636).
    ///
    /// # Errors
    /// Discovery fails, or no callback URL is configured.
    pub async fn authorize_url(&self, request: &AuthorizeRequest) -> Result<Url, ProviderError> {
        let redirect_uri = self
            .redirect_uri(request.purpose)
            .ok_or_else(|| ProviderError::NoCallback(self.name().to_string()))?;
        let metadata = self.metadata().await?;
        let client = BasicClient::new(ClientId::new(self.client_id().to_owned()))
            .set_auth_uri(AuthUrl::from_url(metadata.authorization.clone()))
            .set_redirect_uri(RedirectUrl::from_url(redirect_uri.clone()));
        let scopes: ScopeSet = self.requested_scopes(request.purpose, &metadata);
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
        for (name, value) in own {
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
