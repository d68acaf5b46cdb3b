//! Scopes of a grant (RFC 6749 section 3.3).

use std::collections::BTreeSet;
use std::fmt;

/// Scopes about the identity of a person or the lifetime of a grant, which give no access to
/// data. Two grants that differ only in these are equally wide.
const IDENTITY_SCOPES: &[&str] = &[
    "openid",
    "email",
    "profile",
    "offline_access",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/userinfo.profile",
];

/// Returns `true` if the scope gives no access to data.
pub fn is_identity_scope(scope: &str) -> bool {
    IDENTITY_SCOPES.contains(&scope)
}

/// A set of scopes, sorted and without duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(BTreeSet<String>);

impl ScopeSet {
    /// Reads a space-separated list.
    pub fn parse(list: &str) -> Self {
        list.split_ascii_whitespace().collect()
    }

    /// Returns `true` if the set contains exactly this scope.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Returns `true` if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Adds a scope.
    pub fn insert(&mut self, scope: impl Into<String>) {
        self.0.insert(scope.into());
    }

    /// The scopes of `wanted` that this set lacks, sorted.
    pub fn missing<'a>(&self, wanted: &'a Self) -> Vec<&'a str> {
        wanted
            .iter()
            .filter(|scope| !self.contains(scope))
            .collect()
    }

    /// Returns `true` if this set gives access to all data that `other` gives access to.
    /// Identity scopes do not count: a provider may omit them from its response.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|scope| is_identity_scope(scope) || self.contains(scope))
    }

    /// The number of scopes that give access to data. A set that covers another is at least as
    /// wide.
    pub fn width(&self) -> usize {
        self.iter()
            .filter(|scope| !is_identity_scope(scope))
            .count()
    }

    /// The scopes as a sorted list.
    pub fn to_vec(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

impl<S: Into<String>> FromIterator<S> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self(
            scopes
                .into_iter()
                .map(Into::into)
                .filter(|scope: &String| !scope.is_empty())
                .collect(),
        )
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identity_scopes_do_not_make_a_grant_wider() {
        let with = ScopeSet::parse("openid email mail.read");
        let without = ScopeSet::parse("mail.read");
        assert!(without.covers(&with) && with.covers(&without));
    }

    #[test]
    fn a_plain_sign_in_does_not_cover_a_mailbox() {
        assert!(!ScopeSet::parse("openid email").covers(&ScopeSet::parse("openid mail.read")));
    }

    proptest! {
        #[test]
        fn text_and_set_are_one(list in "[ a-z:/.]{0,80}") {
            let set = ScopeSet::parse(&list);
            prop_assert_eq!(ScopeSet::parse(&set.to_string()), set);
        }

        #[test]
        fn what_is_missing_is_what_covers_lacks(a in "[ a-c]{0,9}", b in "[ a-c]{0,9}") {
            let (a, b) = (ScopeSet::parse(&a), ScopeSet::parse(&b));
            prop_assert_eq!(a.missing(&b).is_empty(), a.covers(&b));
        }
    }
}
