//! What a scope means at each provider: its canonical form, and which other scopes
//! it includes.
//!
//! One table for everything that compares scopes: `required_scopes` and the list of
//! missing ones, the limits of a policy, channels, and the Rust client. It is a crate
//! without I/O, so that the client does not link what speaks to providers.

mod google;
mod microsoft;

use std::borrow::Cow;
use std::collections::BTreeSet;

use latchkey_domain::{ProviderName, ScopeSet, is_identity_scope};

/// A scope, the scopes that whoever holds it may use as well, and the page that says
/// so.
type Row = (&'static str, &'static [&'static str], &'static str);

/// How a provider's scopes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScopeRules {
    /// To the letter: nothing is known of the provider.
    Exact,
    /// Google's.
    Google,
    /// Microsoft's: without case, short or with the address of Graph in front.
    Microsoft,
}

impl ScopeRules {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Google, Self::Microsoft];

    /// The rules of a configured provider. The names of the built-in ones are theirs
    /// alone.
    pub fn of(provider: &ProviderName) -> Self {
        match provider.as_str() {
            ProviderName::GOOGLE => Self::Google,
            ProviderName::MICROSOFT => Self::Microsoft,
            _ => Self::Exact,
        }
    }

    /// The one form of a scope that has several.
    pub fn canonical(self, scope: &str) -> Cow<'_, str> {
        match self {
            Self::Exact => scope.into(),
            Self::Google => google::canonical(scope).into(),
            Self::Microsoft => microsoft::canonical(scope),
        }
    }

    /// Returns `true` if a grant of `granted` may do what `wanted` allows. A scope that
    /// the table does not know is satisfied by itself alone.
    pub fn satisfies(self, granted: &str, wanted: &str) -> bool {
        if granted == wanted {
            return true;
        }
        let (granted, wanted) = (self.canonical(granted), self.canonical(wanted));
        granted == wanted || self.includes(&granted, &wanted)
    }

    /// The scopes of `wanted` that `granted` lacks, sorted.
    pub fn missing<'a>(self, granted: &ScopeSet, wanted: &'a ScopeSet) -> Vec<&'a str> {
        let mut missing = granted.missing(wanted);
        missing.retain(|wanted| !granted.iter().any(|one| self.satisfies(one, wanted)));
        missing
    }

    /// Returns `true` if `limit` allows everything that these scopes give. Identity
    /// scopes give no data and do not count.
    pub fn allows(self, limit: &ScopeSet, scopes: &ScopeSet) -> bool {
        scopes.iter().all(|scope| {
            limit.contains(scope)
                || is_identity_scope(&self.canonical(scope))
                || limit.iter().any(|allowed| self.satisfies(allowed, scope))
        })
    }

    fn rows(self) -> &'static [Row] {
        match self {
            Self::Exact => &[],
            Self::Google => google::TABLE,
            Self::Microsoft => microsoft::TABLE,
        }
    }

    /// Both in canonical form. What is included includes further ones.
    fn includes(self, scope: &str, wanted: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![Cow::Borrowed(scope)];
        while let Some(scope) = open.pop() {
            let rows = self.rows().iter();
            for (_, included, _) in rows.filter(|(of, _, _)| self.canonical(of) == scope) {
                for one in *included {
                    let one = self.canonical(one);
                    if one == wanted {
                        return true;
                    }
                    if seen.insert(one.clone()) {
                        open.push(one);
                    }
                }
            }
        }
        false
    }
}

/// The scopes of a provider's answer or of an introspection: a list with spaces
/// (RFC 6749 section 3.3), or with commas as some providers write it. Nothing where it
/// names none: then it says nothing (RFC 6749 section 5.1).
pub fn parse_list(list: &str) -> Option<ScopeSet> {
    let scopes: ScopeSet = list
        .split(|c: char| c.is_ascii_whitespace() || c == ',')
        .collect();
    (!scopes.is_empty()).then_some(scopes)
}

/// The resource of a scope of Microsoft, if it is not Graph. A token is for one resource
/// (<https://learn.microsoft.com/entra/identity-platform/scopes-oidc#the-default-scope-when-the-user-has-already-given-consent>).
pub fn microsoft_resource(scope: &str) -> Option<&str> {
    microsoft::resource(scope)
}

/// A scope of Microsoft without the address of Graph in front.
pub fn microsoft_short(scope: &str) -> &str {
    microsoft::short(scope)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
