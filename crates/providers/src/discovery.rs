//! The discovery document (OpenID Connect Discovery 1.0 section 3).

use serde::Deserialize;
use url::Url;

use crate::definition::Definition;
use crate::transport::{Http, is_secure};
use crate::{Mismatch, ProviderError};

/// How the client proves itself at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    Basic,
    Body,
}

/// What is used of a discovery document, checked.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub authorization: Url,
    pub token: Url,
    pub jwks: Url,
    pub revocation: Option<Url>,
    pub userinfo: Option<Url>,
    pub algorithms: Vec<String>,
    /// Empty where nothing is announced.
    pub userinfo_algorithms: Vec<String>,
    pub client_auth: ClientAuth,
    /// RFC 9207: `iss` comes with the callback.
    pub response_iss: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    #[serde(default)]
    revocation_endpoint: Option<String>,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    userinfo_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

fn invalid(problem: impl Into<String>) -> ProviderError {
    ProviderError::DiscoveryInvalid(problem.into())
}

impl Metadata {
    /// Fetches the document of a definition.
    pub(crate) async fn fetch(http: &Http, definition: &Definition) -> Result<Self, ProviderError> {
        let unavailable = ProviderError::DiscoveryUnavailable;
        let answer = http
            .document(&definition.discovery)
            .await
            .map_err(|failure| failure.of_document(unavailable))?;
        if !answer.status.is_success() {
            return Err(unavailable(format!("status {}", answer.status.as_u16())));
        }
        Self::parse(&answer.body, definition)
    }

    fn parse(body: &[u8], definition: &Definition) -> Result<Self, ProviderError> {
        let document: Document =
            serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
        let expected = definition.issuer.shown();
        if document.issuer != expected {
            let both = Mismatch::new(expected, Some(&document.issuer));
            return Err(invalid(format!(
                "it names another issuer than the one configured: {both}"
            )));
        }
        if let Some(methods) = &document.code_challenge_methods_supported
            && !methods.iter().any(|method| method == "S256")
        {
            return Err(invalid("the provider does not know PKCE with S256"));
        }
        let endpoints = [
            &document.authorization_endpoint,
            &document.token_endpoint,
            &document.jwks_uri,
        ];
        if !endpoints.into_iter().all(is_secure) {
            return Err(invalid("an endpoint is not https://"));
        }
        let optional =
            |url: Option<String>| url.and_then(|url| Url::parse(&url).ok()).filter(is_secure);
        let methods = &document.token_endpoint_auth_methods_supported;
        let knows = |method: &str| methods.iter().any(|known| known == method);
        // Absent means basic (Discovery section 3).
        let client_auth = if knows("client_secret_post") && !knows("client_secret_basic") {
            ClientAuth::Body
        } else {
            ClientAuth::Basic
        };
        Ok(Self {
            authorization: document.authorization_endpoint,
            token: document.token_endpoint,
            jwks: document.jwks_uri,
            revocation: optional(document.revocation_endpoint),
            userinfo: optional(document.userinfo_endpoint),
            algorithms: document.id_token_signing_alg_values_supported,
            userinfo_algorithms: document.userinfo_signing_alg_values_supported,
            client_auth,
            response_iss: document.authorization_response_iss_parameter_supported,
        })
    }
}

#[cfg(test)]
mod tests {
    use latchkey_config::Environment;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn definition() -> Definition {
        let environment: Environment = [
            ("AUTH_OIDC_ACME_ISSUER", "https://id.acme.example"),
            ("AUTH_OIDC_ACME_CLIENT_ID", "latchkey"),
        ]
        .into_iter()
        .collect();
        crate::oidc::definitions(&environment).unwrap().remove(0)
    }

    fn document() -> Value {
        json!({
            "issuer": "https://id.acme.example",
            "authorization_endpoint": "https://id.acme.example/authorize",
            "token_endpoint": "https://id.acme.example/token",
            "jwks_uri": "https://id.acme.example/jwks",
        })
    }

    fn with(name: &str, value: Value) -> Result<Metadata, ProviderError> {
        let mut document = document();
        document[name] = value;
        Metadata::parse(document.to_string().as_bytes(), &definition())
    }

    // R3: oidcc-client-test-discovery-issuer-mismatch.
    #[test]
    fn the_issuer_is_compared_to_the_letter() {
        assert!(with("issuer", json!("https://id.acme.example")).is_ok());
        for other in [
            "https://id.acme.example/",
            "https://ID.acme.example",
            "https://evil.example",
        ] {
            assert!(with("issuer", json!(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn an_endpoint_in_clear_text_is_refused() {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            assert!(
                with(name, json!("http://id.acme.example/x")).is_err(),
                "{name}"
            );
        }
        let metadata = with("revocation_endpoint", json!("http://id.acme.example/x")).unwrap();
        assert_eq!(metadata.revocation, None);
    }

    #[test]
    fn a_provider_without_s256_is_refused() {
        assert!(with("code_challenge_methods_supported", json!(["plain"])).is_err());
    }

    #[test]
    fn the_client_proves_itself_as_the_provider_likes() {
        let auth = |methods: Value| {
            with("token_endpoint_auth_methods_supported", methods)
                .unwrap()
                .client_auth
        };
        assert_eq!(auth(json!([])), ClientAuth::Basic);
        assert_eq!(auth(json!(["client_secret_post"])), ClientAuth::Body);
    }

    proptest! {
        #[test]
        fn no_document_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Metadata::parse(&body, &definition());
        }
    }
}
