//! A demo provider, and a person with a browser.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_config::Environment;
use latchkey_demo_provider::{Config, Decision, DemoProvider};
use latchkey_domain::{Clock as _, ManualClock, SystemClock};
use latchkey_providers::{
    AuthorizationCode, AuthorizeRequest, IdTokenError, PkceCodeVerifier, Provider, Purpose,
    Registry, TokenError, TokenResponse, VerifiedIdentity,
};
use url::Url;

pub const VERIFIER: &str = "a-verifier-of-more-than-forty-three-characters-xyz";
pub const NONCE: &str = "the-nonce-of-this-flow";

/// Switches on mail and calendar for every provider.
const EVERYTHING: [(&str, &str); 7] = [
    ("PUBLIC_URL", "http://localhost:3000"),
    ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true"),
    ("CALENDAR_PROVIDER_GOOGLE_ENABLED", "true"),
    ("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true"),
    ("CALENDAR_PROVIDER_MICROSOFT_ENABLED", "true"),
    ("AUTH_OIDC_DEMO_MESSAGING_SCOPES", "mail.read"),
    ("AUTH_OIDC_DEMO_CALENDAR_SCOPES", "calendar.read"),
];

pub struct World {
    pub demo: DemoProvider,
    pub clock: Arc<ManualClock>,
    pub registry: Registry,
}

pub async fn world(more: &[(&str, &str)]) -> World {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let config = Config {
        clock: clock.clone(),
        ..Config::default()
    };
    let demo = DemoProvider::start(config).await.unwrap();
    let mut variables = demo.environment();
    for (name, value) in EVERYTHING.iter().chain(more) {
        variables.insert((*name).to_owned(), (*value).to_owned());
    }
    let environment: Environment = variables.into_iter().collect();
    let registry = Registry::from_environment(&environment, clock.clone()).unwrap();
    World {
        demo,
        clock,
        registry,
    }
}

pub fn request(purpose: Purpose) -> AuthorizeRequest {
    AuthorizeRequest {
        purpose,
        state: "the-state".to_owned(),
        nonce: NONCE.to_owned(),
        pkce_challenge: URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes())),
        login_hint: None,
        hosted_domain: None,
        consent: false,
        claims: None,
        locale: None,
        reuses_grant: false,
    }
}

pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

impl World {
    pub fn provider(&self, name: &str) -> Arc<Provider> {
        self.registry.get(&name.parse().unwrap()).unwrap()
    }

    /// The callback URL to which the provider sends the browser.
    pub async fn callback(
        &self,
        name: &str,
        request: &AuthorizeRequest,
        decision: &Decision,
    ) -> Url {
        let url = self.provider(name).authorize_url(request).await.unwrap();
        self.demo.decide(url.as_str(), decision).await.unwrap()
    }

    pub async fn grant(
        &self,
        name: &str,
        request: &AuthorizeRequest,
        decision: &Decision,
    ) -> Result<TokenResponse, TokenError> {
        let callback = self.callback(name, request, decision).await;
        let code = parameter(&callback, "code").unwrap();
        self.provider(name)
            .exchange_code(
                request.purpose,
                AuthorizationCode::new(code),
                PkceCodeVerifier::new(VERIFIER.to_owned()),
            )
            .await
    }

    pub async fn tokens(&self, name: &str) -> TokenResponse {
        let mut request = request(Purpose::SignIn);
        request.consent = true;
        self.grant(name, &request, &Decision::allow("ada"))
            .await
            .unwrap()
    }

    pub async fn verify(
        &self,
        name: &str,
        tokens: &TokenResponse,
    ) -> Result<VerifiedIdentity, IdTokenError> {
        let id_token = tokens.id_token.as_ref().ok_or(IdTokenError::Missing)?;
        self.provider(name)
            .verify_id_token(id_token, NONCE, &tokens.access_token)
            .await
    }

    pub async fn sign_in(&self, name: &str) -> Result<VerifiedIdentity, IdTokenError> {
        let tokens = self.tokens(name).await;
        self.verify(name, &tokens).await
    }
}
