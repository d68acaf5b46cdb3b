//! Names of mail domains in one canonical form.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use idna::AsciiDenyList;

/// The text is not the name of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a domain such as company.com, without @, scheme or wildcard")]
pub struct InvalidDomain;

/// Name of a domain in the form of DNS: lower case and ASCII, compared exactly. `bücher.example` and `xn--bcher-kva.example` are the same value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// The ASCII form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0
    }
}

impl FromStr for DomainName {
    type Err = InvalidDomain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = ascii_form(text.trim()).ok_or(InvalidDomain)?;
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if name.len() <= 253 && name.contains('.') && name.split('.').all(label) {
            Ok(Self(name))
        } else {
            Err(InvalidDomain)
        }
    }
}

/// The ASCII form of a domain (UTS #46, nontransitional). `None` if it has no
/// such form, or if the form would contain a character that separates parts of
/// a URL or an address: `＠` maps to `@`.
pub(crate) fn ascii_form(domain: &str) -> Option<String> {
    idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::URL)
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// A domain as people write it: `bücher.example`. A label that cannot be decoded is left
/// unchanged.
pub fn domain_for_people(domain: &str) -> String {
    let (shown, decoded) = idna::domain_to_unicode(domain);
    if decoded.is_ok() {
        shown
    } else {
        domain.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, InvalidDomain> {
        text.parse::<DomainName>().map(String::from)
    }

    // R7
    #[test]
    fn a_domain_has_one_form_however_it_is_written() {
        for text in [
            "bücher.example",
            "BÜCHER.Example",
            "bu\u{308}cher.example",
            "xn--bcher-kva.example",
            "XN--BCHER-KVA.EXAMPLE",
            " bücher。example ",
        ] {
            assert_eq!(read(text).as_deref(), Ok("xn--bcher-kva.example"), "{text}");
        }
        assert_eq!(read("Company.CO").as_deref(), Ok("company.co"));
        assert_eq!(domain_for_people("xn--bcher-kva.example"), "bücher.example");
        assert_eq!(domain_for_people("company.co"), "company.co");
        assert_eq!(domain_for_people("xn--a.example"), "xn--a.example");
    }

    #[test]
    fn text_that_is_not_a_domain_is_refused() {
        for wrong in [
            "",
            "company",
            "*.company.com",
            "@company.com",
            "a@b.com",
            "a\u{ff20}b.com",
            "https://b.com",
            "-a.com",
            "a..com",
            "a.com.",
            "a_b.com",
            "xn--a.com",
            "bü cher.example",
        ] {
            assert_eq!(read(wrong), Err(InvalidDomain), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_form_is_its_own_form(text in "\\PC{1,12}\\.[a-zäöü]{1,6}") {
            if let Ok(name) = read(&text) {
                prop_assert_eq!(read(&name), Ok(name.clone()));
                prop_assert!(name.is_ascii());
                prop_assert_eq!(read(&domain_for_people(&name)), Ok(name));
            }
        }
    }
}
