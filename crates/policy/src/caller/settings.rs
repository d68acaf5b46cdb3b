//! How callers authenticate.

use std::str::FromStr;

use latchkey_config::{ConfigError, Environment};
use latchkey_service::grpc::ClientCertificate;

/// How callers authenticate (`CALLERS_BY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallersBy {
    /// By a client certificate.
    #[default]
    Certificate,
    /// By a service-account token, without a client certificate.
    Token,
    /// By either one. If a token is sent, the certificate does not count.
    Either,
    /// By a token, over a connection with a client certificate.
    Both,
}

impl FromStr for CallersBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "certificate" => Ok(Self::Certificate),
            "token" => Ok(Self::Token),
            "either" => Ok(Self::Either),
            "both" => Ok(Self::Both),
            _ => Err("must be certificate, token, either or both"),
        }
    }
}

impl CallersBy {
    /// Whether the TLS handshake requests a client certificate.
    pub fn client_certificate(self) -> ClientCertificate {
        match self {
            Self::Certificate | Self::Both => ClientCertificate::Required,
            Self::Either => ClientCertificate::Optional,
            Self::Token => ClientCertificate::NotAsked,
        }
    }
}

/// The source of the keys that verify service-account tokens.
#[derive(Debug, Clone)]
pub(super) enum KeySource {
    /// `CALLER_JWKS`, or the file of `CALLER_JWKS_FILE`, which is read again when it
    /// changes.
    Text(Environment),
    /// `CALLER_JWKS_URL`, which is fetched regularly.
    Url(Box<KeySetUrl>),
}

/// A key set that is fetched over HTTPS.
#[derive(Debug, Clone)]
pub(super) struct KeySetUrl {
    /// `CALLER_JWKS_URL`.
    pub url: String,
    /// CA certificate for `CALLER_JWKS_URL` if it is not publicly trusted
    /// (`CALLER_JWKS_CA`).
    pub authority: Option<String>,
    /// Source of `CALLER_JWKS_TOKEN`, usually a file: the bearer token that the
    /// Kubernetes API requires to read its keys.
    pub environment: Environment,
}

/// Which service-account tokens are accepted.
#[derive(Debug, Clone)]
pub(super) struct TokenSettings {
    /// `CALLER_TOKEN_ISSUER`.
    pub issuer: String,
    /// `CALLER_TOKEN_AUDIENCE`.
    pub audience: String,
    pub keys: KeySource,
}

/// How callers say who they are.
#[derive(Debug, Clone)]
pub struct CallerSettings {
    /// How callers authenticate (`CALLERS_BY`).
    pub by: CallersBy,
    pub(super) tokens: Option<TokenSettings>,
}

impl CallerSettings {
    /// Reads `CALLERS_BY` and the `CALLER_…` variables that it requires.
    ///
    /// # Errors
    /// A variable is missing or wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let by = environment.parsed("CALLERS_BY", CallersBy::default())?;
        let tokens = match by {
            CallersBy::Certificate => None,
            CallersBy::Token | CallersBy::Either | CallersBy::Both => {
                Some(TokenSettings::from_environment(environment)?)
            }
        };
        Ok(Self { by, tokens })
    }
}

impl TokenSettings {
    fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let keys = if let Some(url) = environment.optional("CALLER_JWKS_URL")? {
            if !url.starts_with("https://") && !url.starts_with("http://127.0.0.1:") {
                return Err(ConfigError::new(
                    "CALLER_JWKS_URL",
                    "must begin with https://",
                ));
            }
            KeySource::Url(Box::new(KeySetUrl {
                url,
                authority: environment.optional("CALLER_JWKS_CA")?,
                environment: environment.clone(),
            }))
        } else {
            environment.required(
                "CALLER_JWKS",
                "the key set of the cluster (`kubectl get --raw /openid/v1/jwks`), \
                 CALLER_JWKS_FILE to its path, or CALLER_JWKS_URL to its address",
            )?;
            KeySource::Text(environment.clone())
        };
        Ok(Self {
            issuer: environment.required(
                "CALLER_TOKEN_ISSUER",
                "the `iss` of service-account tokens, e.g. https://kubernetes.default.svc",
            )?,
            audience: environment.required(
                "CALLER_TOKEN_AUDIENCE",
                "the audience that callers project their tokens for, e.g. latchkey",
            )?,
            keys,
        })
    }
}
