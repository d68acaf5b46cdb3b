//! Client authentication at the token and the revocation endpoint (OpenID Connect Core
//! section 9), the same for every request that needs it.
//!
//! A secret or an assertion is sent only to a provider that announces the method, which
//! `discovery.rs` checks before anything is sent.

mod algorithm;
mod assertion;
mod assertion_file;
mod client_keys;
mod settings;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use self::algorithm::{name_of, takes};
pub(crate) use self::assertion::{AssertionError, Audience, ClientAssertion, Statement};
pub(crate) use self::assertion_file::AssertionFile;
pub(crate) use self::client_keys::ClientKeys;
pub use self::client_keys::PublicClientKey;
pub(crate) use self::settings::ClientCredentials;

const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";
const SECRET_JWT: &str = "client_secret_jwt";
const PRIVATE_KEY_JWT: &str = "private_key_jwt";
const NONE: &str = "none";

/// A method of client authentication.
#[derive(Debug, Clone)]
pub(crate) enum ClientAuthentication {
    /// `client_secret_basic`: the secret in the header `Authorization`.
    Basic,
    /// `client_secret_post`: the secret in the form.
    Post,
    /// `client_secret_jwt`: an assertion with a MAC whose key is the secret, which is not
    /// sent.
    SecretJwt(Algorithm),
    /// `private_key_jwt`: an assertion that the client signs.
    PrivateKey(Arc<ClientKeys>),
    /// `private_key_jwt`: an assertion that another issuer signs, such as a Kubernetes
    /// cluster, and that is sent as it stands.
    Federated(AssertionFile),
    /// `none`: a public client has no secret.
    PublicClient,
}

impl ClientAuthentication {
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

    /// Name of the method in `token_endpoint_auth_methods_supported`.
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Basic => BASIC,
            Self::Post => POST,
            Self::SecretJwt(_) => SECRET_JWT,
            Self::PrivateKey(_) | Self::Federated(_) => PRIVATE_KEY_JWT,
            Self::PublicClient => NONE,
        }
    }

    /// Returns `true` if the method may be used at a provider that announces these: a
    /// public client sends nothing secret. A provider that announces none knows
    /// `client_secret_basic` (Discovery 1.0 section 3), and `documented` if its
    /// documentation says so.
    pub(crate) fn is_allowed(&self, methods: &[String], documented: Option<&str>) -> bool {
        let method = self.method();
        if methods.is_empty() {
            return method == NONE || method == BASIC || documented == Some(method);
        }
        method == NONE || methods.iter().any(|known| known == method)
    }

    /// The method that Google and Microsoft document beside their discovery documents.
    pub(crate) const DOCUMENTED: &'static str = POST;

    /// The algorithm of the assertions that are made here.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::SecretJwt(algorithm) => Some(*algorithm),
            Self::PrivateKey(keys) => Some(keys.algorithm()),
            _ => None,
        }
    }

    /// Returns the assertion of one request. `None` if the method has none.
    pub(crate) async fn assertion(
        &self,
        statement: &Statement<'_>,
        secret: Option<&SecretString>,
        algorithms: &[String],
    ) -> Result<Option<ClientAssertion>, AssertionError> {
        match self {
            Self::Basic | Self::Post | Self::PublicClient => Ok(None),
            Self::SecretJwt(algorithm) => {
                let secret = secret.ok_or(AssertionError::NotSigned)?;
                let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
                let header = Header::new(*algorithm);
                ClientAssertion::sign(&header, &key, statement).map(Some)
            }
            Self::PrivateKey(keys) => keys.assert(statement, algorithms).map(Some),
            Self::Federated(file) => file.assertion().await.map(Some),
        }
    }
}

#[cfg(test)]
mod tests;
