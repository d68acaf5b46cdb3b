//! How callers say who they are.

use std::str::FromStr;

use latchkey_config::{ConfigError, Environment};
use latchkey_service::grpc::ClientCertificate;

/// How callers say who they are: `CALLERS_BY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallersBy {
    /// By client certificate.
    #[default]
    Certificate,
    /// By service-account token; no certificate is asked for.
    Token,
    /// By either; a token that is sent counts alone.
    Either,
    /// By token, over a connection with a client certificate.
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
    /// What the TLS handshake asks for.
    pub fn client_certificate(self) -> ClientCertificate {
        match self {
            Self::Certificate | Self::Both => ClientCertificate::Required,
            Self::Either => ClientCertificate::Optional,
            Self::Token => ClientCertificate::NotAsked,
        }
    }
}

/// Where the keys of service-account tokens are.
#[derive(Debug, Clone)]
pub(super) enum KeySource {
    /// `CALLER_JWKS`, or the file of `CALLER_JWKS_FILE`, looked at again.
    Text(Environment),
    /// `CALLER_JWKS_URL`, asked again.
    Url(Box<KeySetUrl>),
}

/// A key set behind HTTP.
#[derive(Debug, Clone)]
pub(super) struct KeySetUrl {
    /// `CALLER_JWKS_URL`.
    pub url: String,
    /// `CALLER_JWKS_CA`: who signed its certificate, where no public authority did.
    pub authority: Option<String>,
    /// `CALLER_JWKS_TOKEN`, usually from a file: the bearer token that the
    /// Kubernetes API wants from who reads its keys.
    pub environment: Environment,
}

/// Which service-account tokens are taken.
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
    /// `CALLERS_BY`.
    pub by: CallersBy,
    pub(super) tokens: Option<TokenSettings>,
}

impl CallerSettings {
    /// Reads `CALLERS_BY` and the `CALLER_…` variables that go with it.
    ///
    /// # Errors
    /// One is missing or wrong.
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
