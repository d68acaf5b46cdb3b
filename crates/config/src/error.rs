//! Faulty variables, one or all of a program.

use std::fmt;

/// A faulty variable, which stops the start. The value of a secret is never shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct ConfigError {
    /// Name of the variable, or path of a file that is to become its value.
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

/// The faulty variables of a program, each with one problem.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Adds faults. Of several faults of one variable the first one stays: the others usually
    /// follow from it.
    pub fn add(&mut self, errors: impl Into<Self>) {
        for error in errors.into().0 {
            if !self.0.iter().any(|known| known.name == error.name) {
                self.0.push(error);
            }
        }
    }

    /// Returns the value that was read, or adds its faults and returns `None`.
    pub fn take<T>(&mut self, read: Result<T, impl Into<Self>>) -> Option<T> {
        read.map_err(|errors| self.add(errors)).ok()
    }

    /// Returns `value` if there is no fault.
    ///
    /// # Errors
    /// The faults.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// The faults in one line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads several values and binds each to its name. If one of them is faulty, the calling
/// function returns the faults of all as [`ConfigErrors`].
///
/// ```
/// use latchkey_config::{ConfigErrors, Environment, read_all};
///
/// fn limits(environment: &Environment) -> Result<(u32, u32), ConfigErrors> {
///     read_all! {
///         let calls = environment.number("CALLS", 10, 1..=100);
///         let watches = environment.number("WATCHES", 10, 1..=100);
///     }
///     Ok((calls, watches))
/// }
///
/// let environment = [("CALLS", "many"), ("WATCHES", "0")].into_iter().collect();
/// assert_eq!(limits(&environment).unwrap_err().iter().count(), 2);
/// ```
#[macro_export]
macro_rules! read_all {
    ($(let $name:pat_param = $read:expr;)+) => {
        let mut errors = $crate::ConfigErrors::default();
        let ($(Some($name),)+) = ($(errors.take($read),)+) else {
            return Err(errors);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(name: &str) -> Result<u8, ConfigError> {
        Err(ConfigError::new(name, "must be another value"))
    }

    fn all(results: [Result<u8, ConfigError>; 3]) -> Result<[u8; 3], ConfigErrors> {
        let [one, two, three] = results;
        read_all! {
            let one = one;
            let two = two;
            let three = three;
        }
        Ok([one, two, three])
    }

    #[test]
    fn all_faults_are_reported_and_each_variable_once() {
        assert_eq!(all([Ok(1), Ok(2), Ok(3)]), Ok([1, 2, 3]));
        let errors = all([wrong("A"), Ok(2), wrong("B")]).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "A: must be another value; B: must be another value"
        );
        let errors = all([wrong("A"), wrong("A"), Ok(3)]).unwrap_err();
        assert_eq!(errors.iter().count(), 1);
    }
}
