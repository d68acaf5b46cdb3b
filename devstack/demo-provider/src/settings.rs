//! The configuration for the start, and the settings that can be changed later.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use latchkey_domain::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

/// The configuration of a demo provider.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on; port 0 uses a free port.
    pub listen: SocketAddr,
    /// Address by which browsers and services reach the provider. Issuers and endpoints begin
    /// with it. If it is absent, they begin with the address that the provider listens on.
    pub public_url: Option<Url>,
    /// Files of the certificate with which the provider serves TLS. Without them it serves plain
    /// HTTP.
    pub tls: Option<TlsFiles>,
    /// Id of the registered client, the same for all flavours.
    pub client_id: String,
    /// Secret of that client.
    pub client_secret: String,
    /// Registered redirect URIs; if the list is empty, any is accepted.
    pub redirect_uris: Vec<String>,
    /// Clock for `iat` and `exp`.
    pub clock: Arc<dyn Clock>,
    /// Initial values of the settings.
    pub settings: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            tls: None,
            client_id: "demo-client".to_owned(),
            client_secret: "demo-secret".to_owned(),
            redirect_uris: Vec::new(),
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
        }
    }
}

impl Config {
    /// Returns the public URL without a slash at its end. `address` is where the provider listens.
    pub(crate) fn base_url(&self, address: SocketAddr) -> String {
        match (&self.public_url, &self.tls) {
            (Some(url), _) => url.as_str().trim_end_matches('/').to_owned(),
            (None, Some(_)) => format!("https://{address}"),
            (None, None) => format!("http://{address}"),
        }
    }
}

/// A certificate of the provider and its key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Path of the certificate, followed by those of its issuers, in PEM.
    pub certificate: PathBuf,
    /// Path of its private key, in PEM.
    pub key: PathBuf,
}

/// Settings that can be changed at run time (`PATCH /control/settings`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the switches are independent of one another"
)]
pub struct Settings {
    /// Lifetime of access tokens in seconds.
    pub access_token_lifetime_s: u64,
    /// How token responses contain the lifetime.
    pub expires_in: ExpiresIn,
    /// Omits `scope` from token responses (allowed by RFC 6749 section 5.1 if all requested
    /// scopes were granted).
    pub omit_scope: bool,
    /// Announces and sends `iss` with the callback (RFC 9207). Microsoft never does.
    pub response_iss: bool,
    /// The strict provider has a revocation endpoint.
    pub revocation: bool,
    /// If set, Microsoft's application is registered for this tenant only, and `/common` is
    /// refused with AADSTS50194.
    pub microsoft_single_tenant: Option<String>,
    /// Refresh responses of Google and of the strict provider have an ID token.
    pub id_token_on_refresh: bool,
    /// Fields that replace those of the strict provider's discovery document.
    pub discovery: Map<String, Value>,
    /// Fields that replace those of token responses.
    pub token_answer: Map<String, Value>,
    /// Responses are compressed (gzip) for clients that accept it.
    pub compressed: bool,
    /// The client is public: it is identified by its id alone.
    pub public_client: bool,
    /// The valid client secrets. If the list is empty, that of the configuration is the only one.
    pub client_secrets: Vec<String>,
    /// JWK set of the client, which authenticates with assertions that one of its keys verifies
    /// (`private_key_jwt`).
    pub client_jwks: Option<Value>,
    /// The same, fetched from this address when an assertion names an unknown key.
    pub client_jwks_uri: Option<String>,
    /// The client authenticates with assertions that have a MAC by its secret
    /// (`client_secret_jwt`).
    pub client_secret_jwt: bool,
    /// The client authenticates with one of these assertions of another issuer, as they stand.
    pub client_assertions: Vec<String>,
    /// The only audience that an assertion may have. If it is absent, the token endpoint and the
    /// issuer are accepted.
    pub client_assertion_audience: Option<String>,
    /// Requires pushed authorization requests (RFC 9126) at the strict provider.
    pub require_pushed_authorization: bool,
    /// Lifetime of a pushed authorization request in seconds.
    pub pushed_authorization_lifetime_s: u32,
    /// Name of the [`SampleResponse`](crate::SampleResponse) with which an unknown, revoked or
    /// used refresh token is refused. If it is absent or unknown, the response is that of RFC
    /// 6749.
    pub dead_grant: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_token_lifetime_s: 3600,
            expires_in: ExpiresIn::Number,
            omit_scope: false,
            response_iss: true,
            revocation: true,
            microsoft_single_tenant: None,
            id_token_on_refresh: true,
            discovery: Map::new(),
            token_answer: Map::new(),
            compressed: false,
            public_client: false,
            client_secrets: Vec::new(),
            client_jwks: None,
            client_jwks_uri: None,
            client_secret_jwt: false,
            client_assertions: Vec::new(),
            client_assertion_audience: None,
            require_pushed_authorization: false,
            pushed_authorization_lifetime_s: 60,
            dead_grant: None,
        }
    }
}

/// How a token response contains the lifetime of the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresIn {
    /// `3600`.
    Number,
    /// `"3600"`.
    Text,
    /// The field is absent.
    Absent,
    /// `-1`.
    Absurd,
}
