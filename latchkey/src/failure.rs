//! Why a command was not carried out, and its exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use latchkey_config::{ConfigError, ConfigErrors, EXIT_CODE, Environment};
use latchkey_service::{StartError, database};
use sqlx::error::DatabaseError;

use crate::console::Console;

/// `insufficient_privilege` of PostgreSQL.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

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
            if let Some(refusal) = inner.downcast_ref::<Box<dyn DatabaseError>>()
                && refusal.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
            {
                return Self::Privilege(refusal.message().to_owned());
            }
            let reason = inner.to_string();
            if !text.contains(&reason) {
                text = format!("{text}: {reason}");
            }
            cause = inner.source();
        }
        Self::Refused(text)
    }

    /// Prints the failure and returns its exit code.
    pub(crate) fn report(&self, environment: &Environment, console: &mut Console<'_>) -> ExitCode {
        match self {
            Self::Config(errors) => {
                for error in errors.iter() {
                    console.say(&error.to_string());
                }
                ExitCode::from(EXIT_CODE)
            }
            Self::Usage(text) => {
                console.say(text);
                ExitCode::from(2)
            }
            // A reader such as `head` closes the pipe early.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Privilege(text) => {
                let role = database::options(environment).map_or_else(
                    |_| "?".to_owned(),
                    |options| options.get_username().to_owned(),
                );
                console.say(&format!(
                    "{text}: the role {role} of DATABASE_URL may not do this; --help of the \
                     command names the role that may"
                ));
                ExitCode::FAILURE
            }
            Self::Refused(_) | Self::Output(_) => {
                console.say(&self.to_string());
                ExitCode::FAILURE
            }
        }
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

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(errors) => Self::Config(errors),
            other => Self::of(other),
        }
    }
}
