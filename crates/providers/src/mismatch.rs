//! What a log line says of a comparison that failed.

use std::fmt;

/// Longest text of a stranger in a log line, in characters.
const MAX_CHARS: usize = 200;

/// A text of a stranger as it may stand in a log line: characters that are not
/// printable, quotes and backslashes escaped, 200 characters at most.
pub fn for_log(text: &str) -> String {
    // No more is looked at than can be shown.
    let shown = text.chars().take(MAX_CHARS);
    shown.flat_map(char::escape_debug).take(MAX_CHARS).collect()
}

/// Both sides of a comparison that failed, each as [`for_log`] leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    expected: String,
    got: String,
}

impl Mismatch {
    /// `got` is `None` where the value is absent.
    pub fn new(expected: &str, got: Option<&str>) -> Self {
        Self {
            expected: for_log(expected),
            got: got.map_or_else(
                || "nothing".to_owned(),
                |got| format!("\"{}\"", for_log(got)),
            ),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.got)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_sides_are_bounded_and_on_one_line() {
        let long = "x".repeat(5000);
        let text = Mismatch::new(&long, Some(&long)).to_string();
        assert!(text.len() < 450, "{}", text.len());
        let text = Mismatch::new("a", Some("b\n\u{202e}\"c\"")).to_string();
        assert_eq!(text, r#"expected a, got "b\n\u{202e}\"c\"""#);
        assert_eq!(
            Mismatch::new("a", None).to_string(),
            "expected a, got nothing"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_a_line_of_its_own(text in any::<String>()) {
            let shown = for_log(&text);
            prop_assert!(shown.chars().count() <= MAX_CHARS);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
