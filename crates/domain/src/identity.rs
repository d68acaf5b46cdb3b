//! The owner of a grant: provider, issuer, subject and address.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain_name::{ascii_form, domain_for_people};
use crate::{UserId, WorkspaceId};

/// The text is not a valid provider name, issuer, subject or handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {rule}")]
pub struct InvalidIdentity {
    kind: &'static str,
    rule: &'static str,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.as_ref().to_owned()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidIdentity;

            fn try_from(value: String) -> Result<Self, Self::Error> {
                value.parse()
            }
        }
    };
}

text!(
    /// Configured name of a provider: `google`, `microsoft`, or the lower-case
    /// NAME of an `AUTH_OIDC_<NAME>_…` definition. 1 to 40 of `a-z 0-9 _`.
    ProviderName
);
text!(
    /// Issuer identifier: the `iss` of an ID token, compared byte by byte.
    Issuer
);
text!(
    /// Stable subject at an issuer: `sub`, or `<tid>/<oid>` for Microsoft.
    Subject
);
text!(
    /// Session of a person at an issuer: the `sid` of an ID token.
    ProviderSessionId
);
text!(
    /// Mailbox address, lower case, its domain in ASCII form. A label, never an
    /// identity key.
    Handle
);

impl ProviderName {
    /// The name of Google.
    pub const GOOGLE: &'static str = "google";
    /// The name of Microsoft.
    pub const MICROSOFT: &'static str = "microsoft";
}

impl FromStr for ProviderName {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidIdentity {
                kind: "provider name",
                rule: "must be 1 to 40 of a-z, 0-9, _",
            })
        }
    }
}

/// Checks the bounds of a text; `length` names them. OpenID Connect Core section 2 limits `sub` to 255 ASCII
/// characters; the limits of the other texts are far above real values.
fn bounded<const MAX: usize>(
    text: &str,
    kind: &'static str,
    length: &'static str,
) -> Result<Arc<str>, InvalidIdentity> {
    if text.is_empty() || text.len() > MAX {
        return Err(InvalidIdentity { kind, rule: length });
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidIdentity {
            kind,
            rule: "has a control character",
        });
    }
    Ok(text.into())
}

impl FromStr for Issuer {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bounded::<1024>(text, "issuer", "must have 1 to 1024 bytes").map(Self)
    }
}

impl FromStr for Subject {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bounded::<255>(text, "subject", "must have 1 to 255 bytes").map(Self)
    }
}

impl FromStr for ProviderSessionId {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bounded::<255>(text, "session at the provider", "must have 1 to 255 bytes").map(Self)
    }
}

impl FromStr for Handle {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = bounded::<320>(text, "handle", "must have 1 to 320 bytes")?.to_lowercase();
        // Before the checks below, which must see the mapped characters.
        let text = match text.split_once('@') {
            Some((local, domain)) => match ascii_form(domain) {
                Some(domain) => format!("{local}@{domain}"),
                None => text,
            },
            None => text,
        };
        let well_formed = text
            .rsplit_once('@')
            .is_some_and(|(local, domain)| {
                !local.is_empty() && !domain.is_empty() && domain.is_ascii()
            })
            && text.matches('@').count() == 1
            // One plain address without list, display name or quoting (specials of RFC 5322),
            // which other programs may read differently.
            && !text.contains(|c: char| c.is_whitespace() || r#"()<>[]:;\,""#.contains(c));
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(InvalidIdentity {
                kind: "handle",
                rule: "must be a mail address",
            })
        }
    }
}

impl Handle {
    /// The domain: the text after the last `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The address as people write it, with an international domain in its own script. For
    /// pages only, because different addresses may look the same.
    pub fn for_people(&self) -> String {
        match self.0.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", domain_for_people(domain)),
            None => self.0.as_ref().to_owned(),
        }
    }
}

/// The owner that a sealed grant is bound to: it cannot be opened for another owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrantBinding {
    /// The workspace in which the grant was given.
    pub workspace: WorkspaceId,
    /// The person who owns it.
    pub user: UserId,
    /// The provider that issued it.
    pub provider: ProviderName,
    /// The issuer of the identity.
    pub issuer: Issuer,
    /// The subject of the identity.
    pub subject: Subject,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<Handle>().ok().map(String::from)
    }

    // R7 R19
    #[test]
    fn an_address_has_one_form_however_its_domain_is_written() {
        for text in [
            "Ada@Bücher.example",
            "ada@bu\u{308}cher.example",
            "ada@XN--BCHER-KVA.example",
        ] {
            let handle: Handle = text.parse().unwrap();
            assert_eq!(handle.as_str(), "ada@xn--bcher-kva.example", "{text}");
            assert_eq!(handle.domain(), "xn--bcher-kva.example");
            assert_eq!(handle.for_people(), "ada@bücher.example");
        }
    }

    #[test]
    fn no_character_becomes_a_separator_of_an_address() {
        for text in [
            "ada@evil.example\u{ff20}acme.example",
            "ada@evil.example\u{ff0c}x@acme.example",
            "ada@evil.example\u{ff0c}acme.example",
            "ada@evil.example\u{ff1b}acme.example",
            "ada\u{ff20}acme.example",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        // Looks like another domain and is a different one.
        let alike = read("ada@\u{430}cme.example").unwrap();
        assert!(alike.starts_with("ada@xn--"), "{alike}");
    }
}
