//! What can be set before the start, and what while it runs.

use std::net::SocketAddr;
use std::sync::Arc;

use latchkey_domain::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a demo provider starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Client id that it knows, for all three flavours.
    pub client_id: String,
    /// Secret of that client.
    pub client_secret: String,
    /// Redirect URIs that it knows; any where the list is empty.
    pub redirect_uris: Vec<String>,
    /// Time of `iat` and `exp`.
    pub clock: Arc<dyn Clock>,
    /// What can be changed later.
    pub settings: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            client_id: "demo-client".to_owned(),
            client_secret: "demo-secret".to_owned(),
            redirect_uris: Vec::new(),
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
        }
    }
}

/// What can be changed while it runs (`PATCH /control/settings`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub struct Settings {
    /// Life of access tokens, seconds.
    pub access_token_lifetime_s: u64,
    /// How the token answer says so.
    pub expires_in: ExpiresIn,
    /// Leaves `scope` out of token answers (RFC 6749 section 5.1 allows it where
    /// nothing was ticked off).
    pub omit_scope: bool,
    /// Announces and sends `iss` with the callback (RFC 9207); Microsoft never
    /// does.
    pub response_iss: bool,
    /// The strict provider has a revocation endpoint.
    pub revocation: bool,
    /// Microsoft's application is registered for this tenant only: `/common` is
    /// refused with AADSTS50194.
    pub microsoft_single_tenant: Option<String>,
    /// Refreshed answers of Google and of the strict provider have an ID token.
    pub id_token_on_refresh: bool,
    /// Fields that replace those of the strict provider's discovery document.
    pub discovery: Map<String, Value>,
    /// Fields that replace those of token answers.
    pub token_answer: Map<String, Value>,
    /// Answers are compressed (gzip) for clients that take it.
    pub compressed: bool,
    /// The client is known by its id alone.
    pub public_client: bool,
    /// Public key of the client, an uncompressed point on P-256: it proves itself by
    /// assertions that this key verifies (`private_key_jwt`).
    pub client_key: Option<Vec<u8>>,
    /// Name of the [`SampleResponse`](crate::SampleResponse) in which a refresh token that is unknown,
    /// revoked or used is refused; RFC 6749's where it is absent or of no dialect.
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
            client_key: None,
            dead_grant: None,
        }
    }
}

/// How a token answer says how long the access token lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresIn {
    /// `3600`.
    Number,
    /// `"3600"`.
    Text,
    /// Not at all.
    Absent,
    /// `-1`.
    Absurd,
}
