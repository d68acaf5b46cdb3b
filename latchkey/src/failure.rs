//! Why a command was not carried out.

use std::error::Error;
use std::io;

use latchkey_config::{ConfigError, ConfigErrors};
use latchkey_service::StartError;
use latchkey_service::database::{OpenError, is_refused_to_the_role};

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Variables are faulty.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing, a rule refuses, or a server failed.
    #[error("{0}")]
    Refused(String),
    /// The role of `DATABASE_URL` may not do it. The text of PostgreSQL names the table.
    #[error("{0}")]
    Privilege(String),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(io::Error),
}

impl Failure {
    /// The failure that an error of a library is, with its causes.
    pub(crate) fn of(error: impl Into<Box<dyn Error>>) -> Self {
        let error = error.into();
        let mut text = error.to_string();
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(inner) = cause {
            if is_refused_to_the_role(inner) {
                return Self::Privilege(inner.to_string());
            }
            let reason = inner.to_string();
            if !text.contains(&reason) {
                text = format!("{text}: {reason}");
            }
            cause = inner.source();
        }
        Self::Refused(text)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.into())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::of(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Config(errors) => Self::Config(errors),
            OpenError::Connect(error) => Self::of(error),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(errors) => Self::Config(errors),
            other => Self::of(other),
        }
    }
}
