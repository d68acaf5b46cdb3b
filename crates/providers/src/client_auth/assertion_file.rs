//! An assertion of another issuer, which is a file: a Kubernetes cluster writes the token
//! of a service account, and the provider is configured to accept it for the client
//! (workload identity federation).

use std::path::PathBuf;
use std::time::Duration;

use latchkey_config::ConfigError;
use tokio::io::AsyncReadExt as _;

use super::assertion::{AssertionError, ClientAssertion};
use crate::reader::Reader;

/// Suffix of the variable; it is set with `_FILE`.
pub(super) const ASSERTION: &str = "CLIENT_ASSERTION";

/// Longest file in bytes.
const MAX_LENGTH: u64 = 64 * 1024;
/// Limit of reading the file. It is short, because a refresh that waits holds its lease.
const DEADLINE: Duration = Duration::from_millis(500);

const NOT_A_TOKEN: &str =
    "must be the path of a file with a signed JWT, which is sent as it stands";

/// The file with an assertion, which is read for every use.
#[derive(Debug, Clone)]
pub(crate) struct AssertionFile {
    /// Name of the variable with the path.
    variable: String,
    path: PathBuf,
}

impl AssertionFile {
    /// Reads the variable. `None` if it is not set. The file must be there, as every other
    /// file of the configuration.
    pub(super) fn read(reader: &Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let text = reader.optional(ASSERTION)?;
        let path = reader.environment.file_of(&reader.name(ASSERTION));
        let variable = format!("{}_FILE", reader.name(ASSERTION));
        let Some(path) = path else {
            if text.is_none() {
                return Ok(None);
            }
            let problem = format!("expires, and is read for every use: set {variable} to its path");
            return Err(reader.error(ASSERTION, problem));
        };
        if text
            .and_then(|text| ClientAssertion::parse(&text))
            .is_none()
        {
            return Err(ConfigError::new(variable, NOT_A_TOKEN));
        }
        Ok(Some(Self { variable, path }))
    }

    /// Reads the assertion.
    pub(super) async fn assertion(&self) -> Result<ClientAssertion, AssertionError> {
        let problem = |problem: String| {
            AssertionError::File(ConfigError::new(self.variable.as_str(), problem))
        };
        let read = tokio::time::timeout(DEADLINE, self.content()).await;
        let text = read
            .map_err(|_| problem("names a file that cannot be read in time".to_owned()))?
            .map_err(|error| problem(format!("must be the path of a readable file: {error}")))?;
        ClientAssertion::parse(&text).ok_or_else(|| problem(NOT_A_TOKEN.to_owned()))
    }

    async fn content(&self) -> std::io::Result<String> {
        let file = tokio::fs::File::open(&self.path).await?;
        let mut text = String::new();
        file.take(MAX_LENGTH).read_to_string(&mut text).await?;
        Ok(text)
    }
}
