//! The variables about client authentication.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use latchkey_config::{ConfigError, ConfigErrors, read_all};
use secrecy::{ExposeSecret as _, SecretString};

use super::algorithm::{self, SIGNING_ALG, least_secret};
use super::assertion::AUDIENCE;
use super::assertion_file::ASSERTION;
use super::client_keys::{KEY, KeyText};
use super::{
    AssertionFile, Audience, BASIC, ClientAuthentication, ClientKeys, NONE, POST, PRIVATE_KEY_JWT,
    SECRET_JWT, name_of,
};
use crate::reader::Reader;

/// Suffixes of the variables.
const METHOD: &str = "TOKEN_AUTH_METHOD";
const SECRET: &str = "CLIENT_SECRET";

/// With what a client authenticates, and how.
#[derive(Debug)]
pub(crate) struct ClientCredentials {
    pub secret: Option<SecretString>,
    /// `None`: the discovery document decides.
    pub authentication: Option<ClientAuthentication>,
    pub audience: Audience,
}

/// Values of the variables.
struct Values {
    method: Option<String>,
    secret: Option<SecretString>,
    keys: Option<KeyText>,
    algorithm: Option<Algorithm>,
    file: Option<AssertionFile>,
}

impl ClientCredentials {
    /// Reads the variables `…_CLIENT_SECRET`, `_TOKEN_AUTH_METHOD`, `_PRIVATE_KEY`,
    /// `_PRIVATE_KEY_ID`, `_TOKEN_AUTH_SIGNING_ALG`, `_TOKEN_AUTH_AUDIENCE` and
    /// `_CLIENT_ASSERTION_FILE`.
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigErrors> {
        read_all! {
            let method = reader.optional(METHOD);
            let secret = reader.optional(SECRET);
            let keys = KeyText::read(reader);
            let algorithm = algorithm::read(reader);
            let audience = Audience::read(reader);
            let file = AssertionFile::read(reader);
        }
        let values = Values {
            method,
            secret: secret.map(SecretString::from),
            keys,
            algorithm,
            file,
        };
        let secret = values.secret.clone();
        let authentication = values.authentication(reader)?;
        let signs = authentication
            .as_ref()
            .is_some_and(|method| method.algorithm().is_some());
        for (suffix, is_set) in [
            (SIGNING_ALG, algorithm.is_some()),
            (AUDIENCE, audience.is_some()),
        ] {
            if is_set && !signs {
                let problem = format!(
                    "is set, but {} is neither {PRIVATE_KEY_JWT} with a key nor {SECRET_JWT}: \
                     remove it",
                    reader.name(METHOD)
                );
                return Err(reader.error(suffix, problem).into());
            }
        }
        Ok(Self {
            secret,
            authentication,
            audience: audience.unwrap_or_default(),
        })
    }

    /// The same for a built-in provider, which documents `client_secret_post`. `whose` is
    /// the name of the provider.
    pub(crate) fn read_built_in(reader: &Reader<'_>, whose: &str) -> Result<Self, ConfigErrors> {
        let mut credentials = Self::read(reader)?;
        if credentials.authentication.is_none() {
            credentials.secret = Some(reader.client_secret(whose)?);
            credentials.authentication = Some(ClientAuthentication::Post);
        }
        Ok(credentials)
    }
}

impl Values {
    /// The method, if one is configured.
    fn authentication(
        self,
        reader: &Reader<'_>,
    ) -> Result<Option<ClientAuthentication>, ConfigError> {
        self.refuse_unused(reader)?;
        let method = self.method.clone();
        match method.as_deref() {
            None if self.file.is_none() => Ok(None),
            None | Some(PRIVATE_KEY_JWT) => self.private_key_jwt(reader).map(Some),
            Some(BASIC) => self.with_secret(reader, ClientAuthentication::Basic),
            Some(POST) => self.with_secret(reader, ClientAuthentication::Post),
            Some(SECRET_JWT) => self.secret_jwt(reader),
            Some(NONE) => Ok(Some(ClientAuthentication::PublicClient)),
            Some(_) => Err(reader.error(
                METHOD,
                format!("must be {BASIC}, {POST}, {SECRET_JWT}, {PRIVATE_KEY_JWT} or {NONE}"),
            )),
        }
    }

    /// Refuses credentials that the configured method does not use: which of them is meant
    /// is not known, and a secret must not lie around unused.
    fn refuse_unused(&self, reader: &Reader<'_>) -> Result<(), ConfigError> {
        let method = self.method.as_deref();
        let by_key = method == Some(PRIVATE_KEY_JWT);
        if self.file.is_some() && !(by_key || method.is_none()) {
            let problem = format!(
                "is set, but {} is not {PRIVATE_KEY_JWT}: remove one of them",
                reader.name(METHOD)
            );
            return Err(reader.error(&format!("{ASSERTION}_FILE"), problem));
        }
        if self.keys.is_some() && self.file.is_some() {
            let problem = format!(
                "is set, and so is {}_FILE: keep one",
                reader.name(ASSERTION)
            );
            return Err(reader.error(KEY, problem));
        }
        if self.keys.is_some() && !by_key {
            let problem = format!(
                "is set, but {} is not {PRIVATE_KEY_JWT}",
                reader.name(METHOD)
            );
            return Err(reader.error(KEY, problem));
        }
        if self.secret.is_some() && (by_key || self.file.is_some() || method == Some(NONE)) {
            let problem = format!(
                "is set, but {} says that the client does not use it: remove one of them",
                reader.name(if self.file.is_some() {
                    ASSERTION
                } else {
                    METHOD
                })
            );
            return Err(reader.error(SECRET, problem));
        }
        Ok(())
    }

    fn private_key_jwt(self, reader: &Reader<'_>) -> Result<ClientAuthentication, ConfigError> {
        match (self.file, self.keys) {
            (Some(file), _) => Ok(ClientAuthentication::Federated(file)),
            (None, Some(text)) => {
                let keys = ClientKeys::parse(reader, text, self.algorithm)?;
                Ok(ClientAuthentication::PrivateKey(Arc::new(keys)))
            }
            (None, None) => {
                let problem = format!(
                    "is missing: set it to the client's private key, PEM of PKCS #8, or {}_FILE \
                     to a token that another issuer signs",
                    reader.name(ASSERTION)
                );
                Err(reader.error(KEY, problem))
            }
        }
    }

    fn with_secret(
        &self,
        reader: &Reader<'_>,
        method: ClientAuthentication,
    ) -> Result<Option<ClientAuthentication>, ConfigError> {
        if self.secret.is_some() {
            return Ok(Some(method));
        }
        let problem = format!(
            "is missing: {} says that the client authenticates with it",
            reader.name(METHOD)
        );
        Err(reader.error(SECRET, problem))
    }

    fn secret_jwt(&self, reader: &Reader<'_>) -> Result<Option<ClientAuthentication>, ConfigError> {
        let algorithm = self.algorithm.unwrap_or(Algorithm::HS256);
        let Some(least) = least_secret(algorithm) else {
            let problem = format!(
                "must be HS256, HS384 or HS512, because {} is {SECRET_JWT}",
                reader.name(METHOD)
            );
            return Err(reader.error(SIGNING_ALG, problem));
        };
        let length = self
            .secret
            .as_ref()
            .map(|secret| secret.expose_secret().len());
        if length.is_some_and(|length| length < least) {
            let problem = format!(
                "must have {least} bytes or more for {} (RFC 7518 section 3.2)",
                name_of(algorithm)
            );
            return Err(reader.error(SECRET, problem));
        }
        self.with_secret(reader, ClientAuthentication::SecretJwt(algorithm))
    }
}
