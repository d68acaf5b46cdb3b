//! Both sides of a failed comparison, for a log.

use std::fmt;

use crate::addresses::mask_addresses;

/// Longest text of another party in a log line, in characters.
const MAX_CHARS: usize = 200;

/// Makes a text of another party safe for a log line: escapes quotes, backslashes and
/// characters that are not printable, keeps only the domain of e-mail addresses, and keeps 200
/// characters at most.
pub fn for_log(text: &str) -> String {
    // Bounds the work. An address that is cut off later is masked before.
    let read: String = text.chars().take(MAX_CHARS * 2).collect();
    let masked = mask_addresses(&read);
    let shown = masked.chars().take(MAX_CHARS);
    shown.flat_map(char::escape_debug).take(MAX_CHARS).collect()
}

/// Both sides of a failed comparison, each made safe by [`for_log`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    expected: String,
    got: String,
}

impl Mismatch {
    /// `got` is `None` if the value is absent.
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
        fn no_text_starts_a_new_line(text in any::<String>()) {
            let shown = for_log(&text);
            prop_assert!(shown.chars().count() <= MAX_CHARS);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
