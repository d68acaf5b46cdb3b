//! Patterns of the names of callers.

use std::fmt;
use std::str::FromStr;

const SPIFFE: &str = "spiffe://";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// Matches one whole part of a name.
const WILDCARD: &str = "*";

/// The text is not the name of a caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a caller: write spiffe://trust.domain/path, a DNS name, or \
     system:serviceaccount:namespace:name; * matches one whole part, and not a \
     trust domain or the last label of a DNS name"
)]
pub struct InvalidPattern {
    text: String,
}

/// A caller's name: a SPIFFE id, a DNS name or a Kubernetes service account.
/// `*` matches exactly one part between `/`, `.` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    is_wild: bool,
}

/// The separator of the parts of a name. The kinds of names are distinct: only one begins with
/// `spiffe://`, and only one has colons without slashes.
fn separator(name: &str) -> char {
    if name.starts_with(SPIFFE) {
        '/'
    } else if name.starts_with(SERVICE_ACCOUNT) {
        ':'
    } else {
        '.'
    }
}

impl Pattern {
    /// The pattern as it was written, a DNS name in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `true` if the pattern has a wildcard.
    pub fn is_wild(&self) -> bool {
        self.is_wild
    }

    /// Returns `true` if every part of the name matches the pattern.
    pub fn matches(&self, name: &str) -> bool {
        if !self.is_wild {
            return self.text == name;
        }
        let separator = separator(&self.text);
        if separator != self::separator(name) {
            return false;
        }
        let mut parts = name.split(separator);
        for wanted in self.text.split(separator) {
            match parts.next() {
                Some(part) if part == wanted => {}
                Some(part) if wanted == WILDCARD && !part.is_empty() => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = if let Some(rest) = text.strip_prefix(SPIFFE) {
            spiffe(rest).then(|| text.to_owned())
        } else if let Some(rest) = text.strip_prefix(SERVICE_ACCOUNT) {
            service_account(rest).then(|| text.to_owned())
        } else {
            let lower = text.to_ascii_lowercase();
            dns_name(&lower).then_some(lower)
        };
        parsed
            .map(|text| Self {
                is_wild: text.split(separator(&text)).any(|part| part == WILDCARD),
                text,
            })
            .ok_or_else(|| InvalidPattern {
                text: text.to_owned(),
            })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_word(part: &str, further: &[u8]) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || further.contains(&byte))
}

/// Trust domain and path, SPIFFE-ID sections 2.1 and 2.2.
fn spiffe(rest: &str) -> bool {
    let mut parts = rest.split('/');
    let domain = parts.next().unwrap_or_default();
    is_word(domain, b".-_")
        && !domain.bytes().any(|byte| byte.is_ascii_uppercase())
        && parts
            .all(|part| part == WILDCARD || is_word(part, b".-_") && part != "." && part != "..")
}

fn service_account(rest: &str) -> bool {
    let word = |part: &str| part == WILDCARD || is_word(part, b".-");
    rest.split_once(':')
        .is_some_and(|(namespace, name)| word(namespace) && word(name))
}

fn dns_name(text: &str) -> bool {
    let mut labels = text.rsplit('.');
    let last = labels.next().unwrap_or_default();
    is_word(last, b"-_") && labels.all(|label| label == WILDCARD || is_word(label, b"-_"))
}
