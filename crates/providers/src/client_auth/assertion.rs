//! Assertions with which a client authenticates (RFC 7523 section 3).

use std::fmt;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use latchkey_config::ConfigError;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use time::OffsetDateTime;

use crate::reader::Reader;
use crate::{FailureClass, TokenError};

/// Lifetime of an assertion. It is short because an assertion is sent once; some providers
/// accept no longer one. The clocks may differ by this much.
const LIFETIME: Duration = Duration::from_mins(1);
/// `client_assertion_type` (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// [`TokenError::code`] if there was no assertion to send.
const NO_ASSERTION: &str = "no_client_assertion";

/// Suffix of the variable with the audience.
pub(super) const AUDIENCE: &str = "TOKEN_AUTH_AUDIENCE";

/// What `aud` of an assertion names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Audience {
    /// The URL of the token endpoint (OpenID Connect Core section 9).
    #[default]
    TokenEndpoint,
    /// The issuer, which identifies the provider as well (RFC 7523 section 3).
    Issuer,
}

impl Audience {
    /// Reads the variable. `None` if it is not set.
    pub(super) fn read(reader: &Reader<'_>) -> Result<Option<Self>, ConfigError> {
        match reader.optional(AUDIENCE)?.as_deref() {
            None => Ok(None),
            Some("token_endpoint") => Ok(Some(Self::TokenEndpoint)),
            Some("issuer") => Ok(Some(Self::Issuer)),
            Some(_) => Err(reader.error(AUDIENCE, "must be token_endpoint or issuer")),
        }
    }
}

/// What an assertion of the client says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub client_id: &'a str,
    pub audience: &'a str,
    pub now: OffsetDateTime,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

/// Why there is no assertion to send. The text contains nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssertionError {
    /// The provider does not announce the algorithm of the key.
    #[error(
        "the key of the client signs with {0}, which the provider does not announce: set \
         TOKEN_AUTH_SIGNING_ALG, or use a key of another kind"
    )]
    Algorithm(String),
    /// The key cannot sign.
    #[error("the assertion of the client cannot be signed")]
    NotSigned,
    /// The file with the assertion cannot be used.
    #[error("{0}")]
    File(ConfigError),
}

impl From<AssertionError> for TokenError {
    fn from(error: AssertionError) -> Self {
        Self {
            code: Some(NO_ASSERTION.to_owned()),
            description: Some(error.to_string()),
            ..Self::of(FailureClass::ClientMisconfigured).not_sent()
        }
    }
}

/// An assertion of the client. `Debug` does not print it.
pub(crate) struct ClientAssertion(SecretString);

impl fmt::Debug for ClientAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAssertion")
    }
}

impl ClientAssertion {
    /// Takes an assertion as it stands. `None` if the text is not a signed JWT: nothing
    /// else is sent to a provider.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_base64url = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let parts: Vec<&str> = text.split('.').collect();
        (parts.len() == 3 && parts.into_iter().all(is_base64url))
            .then(|| Self(SecretString::from(text)))
    }

    /// Signs a new assertion with a `jti` of its own.
    pub(super) fn sign(
        header: &Header,
        key: &EncodingKey,
        statement: &Statement<'_>,
    ) -> Result<Self, AssertionError> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| AssertionError::NotSigned)?;
        let claims = Claims {
            iss: statement.client_id,
            sub: statement.client_id,
            aud: statement.audience,
            jti: URL_SAFE_NO_PAD.encode(id),
            iat: statement.now.unix_timestamp(),
            exp: (statement.now + LIFETIME).unix_timestamp(),
        };
        let token = jsonwebtoken::encode(header, &claims, key);
        let token = token.map_err(|_| AssertionError::NotSigned)?;
        Ok(Self(SecretString::from(token)))
    }

    /// The parameters of the request (RFC 7523 section 2.2).
    pub(crate) fn parameters(&self) -> [(&'static str, &str); 2] {
        [
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", self.expose()),
        ]
    }

    /// The assertion in clear, to take it out of texts that may repeat it.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}
