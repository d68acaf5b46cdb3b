//! The environment variables of a program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;

use crate::{ConfigError, format_duration, parse_duration};

/// The environment variables of a program. Clones share the record of the names that were read and
/// the warnings.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    names_read: Arc<Mutex<BTreeSet<String>>>,
    noted: Arc<Mutex<Vec<ConfigError>>>,
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
            names_read: Arc::default(),
            noted: Arc::default(),
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
        self.names_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
        let file_name = format!("{name}_FILE");
        match (self.text_of(name), self.text_of(&file_name)) {
            (Some(_), Some(_)) => Err(ConfigError::new(
                name,
                format!("is set, and so is {file_name}: keep one"),
            )),
            (Some(value), None) => trimmed(name, value),
            (None, Some(path)) => {
                // The path is not shown: it may be the secret itself, in the wrong variable.
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let problem = format!("must be the path of a readable file: {error}");
                    ConfigError::new(&file_name, problem)
                })?;
                trimmed(&file_name, &text)
            }
            (None, None) => Ok(None),
        }
    }

    /// The path of the file from which [`optional`](Self::optional) reads `name`, for a file whose
    /// content changes often. `None` if the variable has no file.
    pub fn file_of(&self, name: &str) -> Option<PathBuf> {
        self.text_of(&format!("{name}_FILE")).map(PathBuf::from)
    }

    /// The value of a variable that a library reads from the environment itself. It has no form
    /// with `_FILE`, which the library would not know.
    ///
    /// # Errors
    /// `name_FILE` is set, or the value is in quotes.
    pub fn read_by_library(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let file_name = format!("{name}_FILE");
        if self.text_of(&file_name).is_some() {
            let problem = format!("is not read: set {name} itself");
            return Err(ConfigError::new(file_name, problem));
        }
        self.optional(name)
    }

    /// The text of a variable itself, unless it is empty.
    pub(crate) fn text_of(&self, name: &str) -> Option<&String> {
        self.variables
            .get(name)
            .filter(|value| !value.trim().is_empty())
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// It is not set; `hint` tells the operator what to set it to.
    pub fn required(&self, name: &str, hint: &str) -> Result<String, ConfigError> {
        self.optional(name)?.ok_or_else(|| {
            let file_name = format!("{name}_FILE");
            if self.text_of(&file_name).is_some() {
                let problem = format!("is the path of an empty file: write {name} into it");
                ConfigError::new(file_name, problem)
            } else {
                ConfigError::new(name, format!("is missing: set it to {hint}"))
            }
        })
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
    /// It does not parse. The error of `T` is what the operator reads: it must say what the
    /// value must be, and must not show the value.
    pub fn optional_parsed<T>(&self, name: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.optional(name)?
            .map(|text| parsed(name, &text))
            .transpose()
    }

    /// The value of `name` as a `T`.
    ///
    /// # Errors
    /// It is not set, or does not parse; see [`optional_parsed`](Self::optional_parsed).
    pub fn required_parsed<T>(&self, name: &str, hint: &str) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        parsed(name, &self.required(name, hint)?)
    }

    /// The value of `name` as a `T`, or `default` if it is not set.
    ///
    /// # Errors
    /// It does not parse; see [`optional_parsed`](Self::optional_parsed).
    pub fn parsed<T>(&self, name: &str, default: T) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        Ok(self.optional_parsed(name)?.unwrap_or(default))
    }

    /// A whole number within `bounds`.
    ///
    /// # Errors
    /// The value is not a whole number, or is out of bounds.
    pub fn number<N>(
        &self,
        name: &str,
        default: N,
        bounds: RangeInclusive<N>,
    ) -> Result<N, ConfigError>
    where
        N: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.optional(name)? else {
            return Ok(default);
        };
        let (least, most) = bounds.into_inner();
        text.parse::<N>()
            .ok()
            .filter(|number| (&least..=&most).contains(&number))
            .ok_or_else(|| {
                let problem =
                    format!("must be a whole number from {least} to {most}, such as {default}");
                ConfigError::new(name, problem)
            })
    }

    /// A duration within `bounds`, such as `500ms`, `30s`, `15m`, `12h` or `60d`.
    ///
    /// # Errors
    /// The value is not a duration, or is out of bounds.
    pub fn duration(
        &self,
        name: &str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let Some(text) = self.optional(name)? else {
            return Ok(default);
        };
        let (least, most) = bounds.into_inner();
        parse_duration(&text)
            .ok()
            .filter(|duration| (least..=most).contains(duration))
            .ok_or_else(|| {
                let [least, most, default] = [least, most, default].map(format_duration);
                let problem =
                    format!("must be a length of time from {least} to {most}, such as {default}");
                ConfigError::new(name, problem)
            })
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

    /// The texts between `prefix` and `suffix` in the names of the variables that are set, e.g.
    /// `ACME` in `AUTH_OIDC_ACME_ISSUER`. A name with `_FILE` counts like the name without.
    pub fn between(&self, prefix: &str, suffix: &str) -> Vec<String> {
        let mut found: Vec<String> = self
            .names_set()
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

    /// The names of the variables that were read so far, set or not. They are the variables that
    /// the program knows.
    pub fn names_read(&self) -> BTreeSet<String> {
        self.names_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes a value that is valid and probably not meant. `config check` prints it as a warning,
    /// and a start logs it; nothing is refused.
    pub fn warn(&self, name: &str, problem: impl Into<String>) {
        let warning = ConfigError::new(name, problem);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        // A variable may be read more than once.
        if !noted.contains(&warning) {
            noted.push(warning);
        }
    }

    /// The warnings of [`warn`](Self::warn).
    pub(crate) fn noted(&self) -> Vec<ConfigError> {
        self.noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The names of the variables that are set and not empty.
    pub(crate) fn names_set(&self) -> impl Iterator<Item = &str> {
        let names = self.variables.keys().map(String::as_str);
        names.filter(|name| self.text_of(name).is_some())
    }
}

fn parsed<T>(name: &str, text: &str) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse()
        .map_err(|error: T::Err| ConfigError::new(name, error.to_string()))
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
mod tests;
