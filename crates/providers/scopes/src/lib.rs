//! What a scope means at each provider: its canonical form, and which other scopes it
//! includes.
//!
//! Every comparison of scopes uses these rules: `required_scopes` and the missing scopes,
//! the limits of a policy, channels, and the Rust client. The crate does no I/O, so that
//! the client does not link the requests to providers.
//!
//! A provider whose scopes have several names or include each other has a file here and
//! an element in [`ScopeRules::ALL`].

mod facts;
mod google;
mod microsoft;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use latchkey_domain::{ProviderName, ScopeSet, is_identity_scope};

use crate::facts::{Facts, Writing};

const EXACT: Facts = Facts {
    provider: "",
    canonical: |scope| scope.into(),
    rows: &[],
    writing: Writing {
        change_mail: &[],
        send_mail: &[],
        change_events: &[],
        read_events: &[],
    },
};

/// How the scopes of a provider are compared.
#[derive(Clone, Copy)]
pub struct ScopeRules(&'static Facts);

impl fmt::Debug for ScopeRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopeRules").field(&self.0.provider).finish()
    }
}

impl ScopeRules {
    /// Byte by byte, for a provider of which nothing is known.
    pub const EXACT: Self = Self(&EXACT);

    /// The rules of all providers, [`EXACT`](Self::EXACT) first.
    pub const ALL: [Self; 3] = [Self::EXACT, Self(&google::FACTS), Self(&microsoft::FACTS)];

    /// The rules of a provider. No configured provider can have the name of a built-in one.
    pub fn of(provider: &ProviderName) -> Self {
        Self::ALL
            .into_iter()
            .find(|rules| rules.0.provider == provider.as_str())
            .unwrap_or(Self::EXACT)
    }

    /// The canonical form of a scope that has several forms.
    pub fn canonical(self, scope: &str) -> Cow<'_, str> {
        (self.0.canonical)(scope)
    }

    /// Returns `true` if the scope `granted` allows everything that `wanted` allows. A scope
    /// that is not in the table is satisfied by itself alone.
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

    /// Returns `true` if `limit` allows everything that these scopes allow. Identity scopes
    /// are ignored, because they give access to no data.
    pub fn allows(self, limit: &ScopeSet, scopes: &ScopeSet) -> bool {
        scopes.iter().all(|scope| {
            limit.contains(scope)
                || is_identity_scope(&self.canonical(scope))
                || limit.iter().any(|allowed| self.satisfies(allowed, scope))
        })
    }

    /// Returns `true` if `scope` includes `wanted`, directly or through other scopes. Both
    /// are in canonical form.
    fn includes(self, scope: &str, wanted: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![Cow::Borrowed(scope)];
        while let Some(scope) = open.pop() {
            let rows = self.0.rows.iter();
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

/// The scopes in the response of a provider: a list with spaces (RFC 6749 section 3.3), or
/// with commas, which some providers use. `None` if the list is empty, because the
/// response then does not say which scopes were granted (RFC 6749 section 5.1).
pub fn parse_list(list: &str) -> Option<ScopeSet> {
    let scopes: ScopeSet = list
        .split(|c: char| c.is_ascii_whitespace() || c == ',')
        .collect();
    (!scopes.is_empty()).then_some(scopes)
}

/// What a set of scopes allows beyond reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteAccess {
    /// Changing and deleting mail.
    pub change_mail: bool,
    /// Sending mail.
    pub send_mail: bool,
    /// Changing the events of calendars.
    pub change_events: bool,
}

impl WriteAccess {
    /// Reads it off the names of the scopes, whichever provider they are of.
    pub fn of(scopes: &ScopeSet) -> Self {
        let scopes: Vec<String> = scopes.iter().map(str::to_ascii_lowercase).collect();
        let any = |parts: fn(&Writing) -> &'static [&'static str]| {
            let all = ScopeRules::ALL.into_iter();
            let parts: Vec<&str> = all
                .flat_map(|rules| parts(&rules.0.writing))
                .copied()
                .collect();
            scopes
                .iter()
                .any(|scope| parts.iter().any(|part| scope.contains(part)))
        };
        Self {
            change_mail: any(|writing| writing.change_mail),
            send_mail: any(|writing| writing.send_mail),
            change_events: any(|writing| writing.change_events)
                && !any(|writing| writing.read_events),
        }
    }
}

/// The resource of a Microsoft scope. `None` if it is Microsoft Graph. A token is valid for
/// one resource
/// (<https://learn.microsoft.com/entra/identity-platform/scopes-oidc#the-default-scope-when-the-user-has-already-given-consent>).
pub fn microsoft_resource(scope: &str) -> Option<&str> {
    microsoft::resource(scope)
}

/// A Microsoft scope without the address of Microsoft Graph.
pub fn microsoft_short(scope: &str) -> &str {
    microsoft::short(scope)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
