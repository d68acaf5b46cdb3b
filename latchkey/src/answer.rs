//! The answer of a command.

use std::process::ExitCode;

use serde_json::Value;

/// The answer of a command, as text for people and as JSON for programs.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    json: Value,
    found_something: bool,
}

impl Answer {
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
            found_something: false,
        }
    }

    /// Lists entries: a line and a JSON value for each. `empty` is the text if there are none.
    pub(crate) fn list(entries: impl Iterator<Item = (String, Value)>, empty: &str) -> Self {
        let (lines, json): (Vec<_>, Vec<_>) = entries.unzip();
        let text = if lines.is_empty() {
            empty.to_owned()
        } else {
            lines.join("\n")
        };
        Self::new(text, Value::Array(json))
    }

    /// The answer of a check that found something: the exit code is 1.
    #[must_use]
    pub(crate) fn with_finding(mut self, found_something: bool) -> Self {
        self.found_something = found_something;
        self
    }

    /// Returns the answer as JSON or as text.
    pub(crate) fn print(&self, as_json: bool) -> String {
        if as_json {
            format!("{:#}", self.json)
        } else {
            self.text.trim_end().to_owned()
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.found_something))
    }
}
