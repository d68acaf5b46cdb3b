//! Client authentication at the token and the revocation endpoint (OpenID Connect Core
//! section 9).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use latchkey_config::{ConfigError, ConfigErrors, read_all};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use time::OffsetDateTime;

use crate::reader::Reader;

/// Lifetime of an assertion. The clocks may differ by this much.
const ASSERTION_LIFE: Duration = Duration::from_mins(2);
/// `client_assertion_type` (RFC 7523 section 2.2).
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";
const PRIVATE_KEY_JWT: &str = "private_key_jwt";
const NONE: &str = "none";

/// A method of client authentication.
#[derive(Debug, Clone)]
pub(crate) enum ClientAuthentication {
    /// `client_secret_basic`: the secret in the header `Authorization`.
    Basic,
    /// `client_secret_post`: the secret in the form.
    Post,
    /// `private_key_jwt`: a JWT that the client signs.
    PrivateKey(Arc<AssertionKey>),
    /// `none`: a public client has no secret.
    PublicClient,
}

const METHOD: &str = "TOKEN_AUTH_METHOD";
const KEY: &str = "PRIVATE_KEY";

impl ClientAuthentication {
    /// Reads `…_TOKEN_AUTH_METHOD` and the variables with the client's key. `None`: the
    /// discovery document decides.
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Option<Self>, ConfigErrors> {
        read_all! {
            let method = reader.optional(METHOD);
            let secret = reader.optional("CLIENT_SECRET");
            let key = reader.optional(KEY);
            let key_id = reader.optional("PRIVATE_KEY_ID");
        }
        let key = key.map(SecretString::from);
        Self::from_values(
            reader,
            method.as_deref(),
            secret.is_some(),
            key.as_ref(),
            key_id.as_deref(),
        )
        .map_err(ConfigErrors::from)
    }

    fn from_values(
        reader: &Reader<'_>,
        method: Option<&str>,
        has_secret: bool,
        key: Option<&SecretString>,
        key_id: Option<&str>,
    ) -> Result<Option<Self>, ConfigError> {
        if key.is_some() && method != Some(PRIVATE_KEY_JWT) {
            let problem = format!(
                "is set, but {} is not {PRIVATE_KEY_JWT}",
                reader.name(METHOD)
            );
            return Err(reader.error(KEY, problem));
        }
        let with_secret = |method: Self| {
            if has_secret {
                return Ok(Some(method));
            }
            let problem = format!(
                "is missing: {} says that the client authenticates with it",
                reader.name(METHOD)
            );
            Err(reader.error("CLIENT_SECRET", problem))
        };
        match method {
            None => Ok(None),
            Some(BASIC) => with_secret(Self::Basic),
            Some(POST) => with_secret(Self::Post),
            Some(NONE | PRIVATE_KEY_JWT) if has_secret => {
                let problem = format!(
                    "is set, but {} says that the client does not use it: remove one of them",
                    reader.name(METHOD)
                );
                Err(reader.error("CLIENT_SECRET", problem))
            }
            Some(NONE) => Ok(Some(Self::PublicClient)),
            Some(PRIVATE_KEY_JWT) => {
                let Some(key) = key else {
                    let problem = "is missing: set it to the client's private key, PEM of PKCS #8";
                    return Err(reader.error(KEY, problem));
                };
                let key = AssertionKey::parse(key, key_id).ok_or_else(|| {
                    let problem =
                        "must be a private key as PEM of PKCS #8: RSA, P-256, P-384 or Ed25519";
                    reader.error(KEY, problem)
                })?;
                Ok(Some(Self::PrivateKey(Arc::new(key))))
            }
            Some(_) => Err(reader.error(
                METHOD,
                format!("must be {BASIC}, {POST}, {PRIVATE_KEY_JWT} or {NONE}"),
            )),
        }
    }

    /// The method, if none is configured. `None` if the client has a secret and no
    /// announced method uses one.
    pub(crate) fn announced(methods: &[String], has_secret: bool) -> Option<Self> {
        let knows = |method: &str| methods.iter().any(|known| known == method);
        if !has_secret {
            Some(Self::PublicClient)
        } else if methods.is_empty() || knows(BASIC) {
            // The default is client_secret_basic (Discovery 1.0 section 3).
            Some(Self::Basic)
        } else if knows(POST) {
            Some(Self::Post)
        } else {
            None
        }
    }
}

/// Key that signs the assertions of the client (RFC 7523).
pub(crate) struct AssertionKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

impl AssertionKey {
    /// Reads a key. A signature on trial shows which algorithm it is for.
    fn parse(pem: &SecretString, id: Option<&str>) -> Option<Self> {
        let pem = pem.expose_secret().as_bytes();
        let candidates = [
            (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
            (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
            (Algorithm::ES384, EncodingKey::from_ec_pem(pem)),
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
        ];
        candidates.into_iter().find_map(|(algorithm, key)| {
            let key = Self {
                id: id.map(str::to_owned),
                algorithm,
                key: key.ok()?,
            };
            key.assert("", "", OffsetDateTime::UNIX_EPOCH)?;
            Some(key)
        })
    }

    /// Signs a new assertion. `None` if the key cannot sign.
    pub(crate) fn assert(
        &self,
        client_id: &str,
        audience: &str,
        now: OffsetDateTime,
    ) -> Option<String> {
        let mut id = [0; 16];
        rand::fill(&mut id).ok()?;
        let header = Header {
            kid: self.id.clone(),
            ..Header::new(self.algorithm)
        };
        let claims = Assertion {
            iss: client_id,
            sub: client_id,
            aud: audience,
            jti: URL_SAFE_NO_PAD.encode(id),
            iat: now.unix_timestamp(),
            exp: (now + ASSERTION_LIFE).unix_timestamp(),
        };
        jsonwebtoken::encode(&header, &claims, &self.key).ok()
    }
}
