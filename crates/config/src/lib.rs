//! Configuration by environment variables (R40): each value comes from `NAME`, or from the file
//! whose path is in `NAME_FILE`.
//!
//! A wrong or missing value is a [`ConfigError`]: one line that names the variable and says
//! what it must be.

mod duration;
mod server_url;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

pub use duration::{InvalidDuration, parse_duration};
pub use server_url::hint_of_server_url;

/// A wrong or missing variable, which stops the start. The value is never shown: it may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct ConfigError {
    /// Name of the variable.
    pub name: String,
    /// The problem, and what the value must be.
    pub problem: String,
}

impl ConfigError {
    /// An error about the variable `name`.
    pub fn new(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            problem: problem.into(),
        }
    }
}

/// The environment variables of a service.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self {
            variables: pairs
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        }
    }
}

impl Environment {
    /// The variables of this process, without those that are not UTF-8.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of `name`, or the content of the file whose path is in `name_FILE`, without
    /// surrounding white space. An empty value counts as not set.
    ///
    /// # Errors
    /// Both are set, the file cannot be read, or the value is in quotes.
    pub fn optional(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let file_name = format!("{name}_FILE");
        let value = self
            .variables
            .get(name)
            .filter(|value| !value.trim().is_empty());
        let file = self
            .variables
            .get(&file_name)
            .filter(|path| !path.is_empty());
        match (value, file) {
            (Some(_), Some(_)) => Err(ConfigError::new(
                name,
                format!("is set, and so is {file_name}: keep one"),
            )),
            (Some(value), None) => trimmed(name, value),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::new(&file_name, format!("{path}: {error}")))?;
                trimmed(&file_name, &text)
            }
            (None, None) => Ok(None),
        }
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// It is not set; `hint` tells the operator what to set it to.
    pub fn required(&self, name: &str, hint: &str) -> Result<String, ConfigError> {
        self.optional(name)?
            .ok_or_else(|| ConfigError::new(name, format!("is missing: set it to {hint}")))
    }

    /// A secret.
    ///
    /// # Errors
    /// It is not set.
    pub fn secret(&self, name: &str, hint: &str) -> Result<SecretString, ConfigError> {
        self.required(name, hint).map(SecretString::from)
    }

    /// The value of `name` as a `T`, or `None` if it is not set.
    ///
    /// # Errors
    /// It does not parse.
    pub fn optional_parsed<T>(&self, name: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.optional(name)?
            .map(|text| {
                text.parse()
                    .map_err(|error| ConfigError::new(name, format!("is wrong: {error}")))
            })
            .transpose()
    }

    /// The value of `name` as a `T`, or `default` if it is not set.
    ///
    /// # Errors
    /// It does not parse.
    pub fn parsed<T>(&self, name: &str, default: T) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        Ok(self.optional_parsed(name)?.unwrap_or(default))
    }

    /// A switch: `true`, `false`, `1`, `0`, `yes`, `no`, `on` or `off`.
    ///
    /// # Errors
    /// The value is none of these.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, ConfigError> {
        match self
            .optional(name)?
            .map(|text| text.to_ascii_lowercase())
            .as_deref()
        {
            None => Ok(default),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some("false" | "0" | "no" | "off") => Ok(false),
            Some(_) => Err(ConfigError::new(name, "must be true or false")),
        }
    }

    /// A list separated by commas or white space; empty if it is not set.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        Ok(self
            .optional(name)?
            .unwrap_or_default()
            .split([',', ' ', '\n', '\t'])
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// An address to listen on.
    ///
    /// # Errors
    /// The value is not an IP address with a port.
    pub fn listen(&self, name: &str, default: SocketAddr) -> Result<SocketAddr, ConfigError> {
        match self.optional(name)? {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                let port = default.port();
                ConfigError::new(
                    name,
                    format!(
                        "must be an IP address and a port, such as 0.0.0.0:{port}, \
                         127.0.0.1:{port} or [::]:{port}"
                    ),
                )
            }),
        }
    }

    /// A duration such as `500ms`, `30s`, `15m`, `12h` or `60d`.
    ///
    /// # Errors
    /// It does not parse.
    pub fn duration(&self, name: &str, default: Duration) -> Result<Duration, ConfigError> {
        match self.optional(name)? {
            None => Ok(default),
            Some(text) => {
                parse_duration(&text).map_err(|error| ConfigError::new(name, error.to_string()))
            }
        }
    }

    /// The texts between `prefix` and `suffix` in the names of the variables that are set, e.g.
    /// `ACME` in `AUTH_OIDC_ACME_ISSUER`. A name with `_FILE` counts like the name without.
    pub fn between(&self, prefix: &str, suffix: &str) -> Vec<String> {
        let mut found: Vec<String> = self
            .variables
            .keys()
            .filter_map(|name| {
                let name = name.strip_suffix("_FILE").unwrap_or(name);
                name.strip_prefix(prefix)?
                    .strip_suffix(suffix)
                    .map(str::to_owned)
            })
            .filter(|middle| !middle.is_empty())
            .collect();
        found.dedup();
        found
    }
}

/// The text without surrounding white space, or `None` if it is empty.
fn trimmed(name: &str, text: &str) -> Result<Option<String>, ConfigError> {
    let text = text.trim();
    let quoted = ['"', '\'']
        .iter()
        .any(|quote| text.len() > 1 && text.starts_with(*quote) && text.ends_with(*quote));
    if quoted {
        return Err(ConfigError::new(
            name,
            "is in quotes, which are part of the value here: remove them",
        ));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().copied().collect()
    }

    #[test]
    fn a_missing_variable_is_named_with_what_to_set() {
        let error = environment(&[])
            .required("AUTH_GOOGLE_CLIENT_ID", "the client id")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "AUTH_GOOGLE_CLIENT_ID: is missing: set it to the client id"
        );
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let path = file.path().to_str().unwrap();
        let read = environment(&[("KEY_FILE", path)]).optional("KEY").unwrap();
        assert_eq!(read.as_deref(), Some("s3cret"));
    }

    #[test]
    fn a_value_is_trimmed_wherever_it_comes_from() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " s3cret\r\n").unwrap();
        let path = file.path().to_str().unwrap();
        for pair in [
            ("KEY", "s3cret\r\n"),
            ("KEY", " s3cret "),
            ("KEY_FILE", path),
        ] {
            let read = environment(&[pair]).optional("KEY").unwrap();
            assert_eq!(read.as_deref(), Some("s3cret"), "{pair:?}");
        }
        assert_eq!(environment(&[("KEY", " \n")]).optional("KEY"), Ok(None));
        let spaced = environment(&[("PORT", "8080 ")]).parsed::<u16>("PORT", 1);
        assert_eq!(spaced, Ok(8080));
    }

    #[test]
    fn quotes_around_a_value_are_named_and_those_within_are_not() {
        for quoted in ["\"s3cret\"", "'s3cret'", "\"\""] {
            let error = environment(&[("KEY", quoted)]).optional("KEY").unwrap_err();
            assert!(error.to_string().contains("quotes"), "{error}");
            assert!(!error.to_string().contains("s3cret"));
        }
        for fine in ["it's", "\"a\" b", "'"] {
            assert_eq!(
                environment(&[("KEY", fine)])
                    .optional("KEY")
                    .unwrap()
                    .as_deref(),
                Some(fine)
            );
        }
    }

    #[test]
    fn the_error_about_a_wrong_address_shows_a_right_one() {
        let default = ([0, 0, 0, 0], 8080).into();
        for wrong in ["8080", ":8080", "localhost:8080", "0.0.0.0"] {
            let error = environment(&[("HTTP_LISTEN", wrong)])
                .listen("HTTP_LISTEN", default)
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "HTTP_LISTEN: must be an IP address and a port, such as 0.0.0.0:8080, \
                 127.0.0.1:8080 or [::]:8080"
            );
        }
        assert_eq!(environment(&[]).listen("HTTP_LISTEN", default), Ok(default));
    }

    #[test]
    fn a_value_and_a_file_contradict_each_other() {
        let error = environment(&[("KEY", "a"), ("KEY_FILE", "/b")])
            .optional("KEY")
            .unwrap_err();
        assert!(error.to_string().contains("keep one"));
    }

    #[test]
    fn an_error_never_shows_the_value() {
        let error = environment(&[("PORT", "s3cret")])
            .parsed::<u16>("PORT", 1)
            .unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn a_provider_name_is_read_between_prefix_and_suffix() {
        let environment = environment(&[
            ("AUTH_OIDC_ACME_ISSUER", "x"),
            ("AUTH_OIDC_BIG_CO_ISSUER_FILE", "y"),
            ("AUTH_OIDC_ISSUER", "z"),
        ]);
        assert_eq!(
            environment.between("AUTH_OIDC_", "_ISSUER"),
            ["ACME", "BIG_CO"]
        );
    }
}
