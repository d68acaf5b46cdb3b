//! Where the variables of a service come from.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use latchkey_config::{ConfigError, Environment};

use crate::service::Service;

/// Where the variables of a service come from: `<service>` for those of this process, or
/// `<service>=<file>` for a file with a line `NAME=value` for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentSource {
    /// The service.
    pub service: Service,
    /// The file; `None` for this process.
    pub file: Option<PathBuf>,
}

impl FromStr for EnvironmentSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (service, file) = match text.split_once('=') {
            Some((_, "")) => return Err("names no file after ="),
            Some((service, file)) => (service, Some(PathBuf::from(file))),
            None => (text, None),
        };
        Ok(Self {
            service: service.parse()?,
            file,
        })
    }
}

impl EnvironmentSource {
    /// Reads the variables. `own` are those of this process.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not `NAME=value`.
    pub(crate) fn read(&self, own: &Environment) -> Result<Environment, ConfigError> {
        match &self.file {
            None => Ok(own.clone()),
            Some(path) => {
                let wrong = |problem: String| {
                    ConfigError::new(
                        format!("--env {}={}", self.service, path.display()),
                        problem,
                    )
                };
                let text = read(path).map_err(wrong)?;
                parse(&text).map_err(wrong)
            }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("must be the path of a readable file: {error}"))
}

/// Lines `NAME=value`, as `docker run --env-file` and `kubectl set env --list` have them; empty
/// lines and those that begin with `#` are ignored. A line is never shown: it may be a secret.
fn parse(text: &str) -> Result<Environment, String> {
    let lines = text.lines().enumerate();
    let lines = lines.map(|(number, line)| (number + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| format!("line {number} must read NAME=value"))?;
            Ok((name.trim().to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_variables_is_read_and_a_wrong_line_is_named_and_not_shown() {
        let read = parse("# Secret\n\nA=b=c\n B = d\n").unwrap();
        assert_eq!(read.optional("A").unwrap().as_deref(), Some("b=c"));
        assert_eq!(read.optional("B").unwrap().as_deref(), Some("d"));
        let error = parse("A=b\ns3cret").unwrap_err();
        assert_eq!(error, "line 2 must read NAME=value");
    }

    #[test]
    fn a_source_names_a_service_and_perhaps_a_file() {
        let source: EnvironmentSource = "auth-svc=a.env".parse().unwrap();
        assert_eq!(
            (source.service, source.file),
            (Service::Auth, Some("a.env".into()))
        );
        let source: EnvironmentSource = "sync-svc".parse().unwrap();
        assert_eq!((source.service, source.file), (Service::Sync, None));
        for wrong in ["", "auth", "auth-svc="] {
            assert!(wrong.parse::<EnvironmentSource>().is_err(), "{wrong}");
        }
    }
}
