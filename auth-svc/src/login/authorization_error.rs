//! Error responses of the authorization endpoint, which come to the callback (RFC 6749
//! section 4.1.2.1), as they are logged.

use std::fmt;

pub use latchkey_providers::AuthorizationError;
use latchkey_providers::{TokenError, for_log};

/// The parameters `error` and `error_description`, made safe for the log. They come through
/// the browser, so no page shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationErrorCode {
    code: String,
    description: Option<String>,
}

impl AuthorizationErrorCode {
    /// Keeps an error code of at most 64 characters of `a-z 0-9 _`, and 200 printable
    /// characters of `error_description`.
    pub fn of(error: &str, description: Option<&str>) -> Self {
        let plain = error.len() <= 64
            && error
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        Self {
            code: if plain { error } else { "unreadable" }.to_owned(),
            description: description.map(for_log),
        }
    }
}

impl fmt::Display for AuthorizationErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        match &self.description {
            Some(description) => write!(f, ": \"{description}\""),
            None => Ok(()),
        }
    }
}

/// Formats an error of the token endpoint with its description, for the log.
pub fn described(error: &TokenError) -> String {
    match &error.description {
        Some(description) => format!("{error}: \"{}\"", for_log(description)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_bounded_and_on_one_line() {
        let long = format!("AADSTS65004: no\n{}", "x".repeat(4000));
        let code = AuthorizationErrorCode::of("access_denied", Some(&long)).to_string();
        assert!(
            code.starts_with(r#"access_denied: "AADSTS65004: no\nxxx"#),
            "{code}"
        );
        assert!(code.len() < 230, "{code}");
        let odd = AuthorizationErrorCode::of("<b>", Some("\u{202e}\"")).to_string();
        assert_eq!(odd, r#"unreadable: "\u{202e}\"""#);
        assert_eq!(AuthorizationErrorCode::of("a_b", None).to_string(), "a_b");
    }
}
