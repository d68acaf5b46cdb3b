//! How callers authenticate.

use std::str::FromStr;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_service::grpc::{ClientCertificate, ServerTls};

use super::verification_keys::KeySource;

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
    fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        environment.parsed("CALLERS_BY", Self::default())
    }

    /// TLS of a server with the variables `GRPC_TLS_…`, whose handshake requests a client
    /// certificate if `CALLERS_BY` says so.
    ///
    /// # Errors
    /// A variable is missing or wrong.
    pub fn server_tls(environment: &Environment) -> Result<ServerTls, ConfigErrors> {
        let by = Self::from_environment(environment)?;
        ServerTls::new(environment, by.client_certificate())
    }

    /// Whether the TLS handshake requests a client certificate.
    fn client_certificate(self) -> ClientCertificate {
        match self {
            Self::Certificate | Self::Both => ClientCertificate::Required,
            Self::Either => ClientCertificate::Optional,
            Self::Token => ClientCertificate::NotAsked,
        }
    }
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
    /// Reads `CALLERS_BY` and the other `CALLER_…` variables. These are read in any case, and
    /// faults in them count only if callers have tokens.
    ///
    /// # Errors
    /// A variable is missing or wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        let tokens = TokenSettings::from_environment(environment);
        let by = CallersBy::from_environment(environment)?;
        let tokens = match by {
            CallersBy::Certificate => None,
            CallersBy::Token | CallersBy::Either | CallersBy::Both => Some(tokens?),
        };
        Ok(Self { by, tokens })
    }
}

impl TokenSettings {
    fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let issuer = environment.required(
                "CALLER_TOKEN_ISSUER",
                "the `iss` of service-account tokens, e.g. https://kubernetes.default.svc",
            );
            let audience = environment.required(
                "CALLER_TOKEN_AUDIENCE",
                "the audience that callers project their tokens for, e.g. latchkey",
            );
            let keys = KeySource::from_environment(environment);
        }
        Ok(Self {
            issuer,
            audience,
            keys,
        })
    }
}
