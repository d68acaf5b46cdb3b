use foldhash::HashMap;
use latchkey_service::grpc::Pattern;

use super::rule::{AccessRequest, Rule};

/// The compiled rules: a call needs one look-up in a table for each name of the caller.
#[derive(Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    /// Indexes of the rules by the complete name of a caller.
    exact: HashMap<String, Vec<usize>>,
    /// Patterns with a wildcard, and the indexes of their rules.
    wildcards: Vec<(Pattern, usize)>,
    /// Every caller with a certificate may call every method; for development.
    open: bool,
}

impl Policy {
    /// A policy with these rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut policy = Self {
            rules,
            ..Self::default()
        };
        for (position, rule) in policy.rules.iter().enumerate() {
            for caller in rule.callers() {
                if caller.is_wild() {
                    policy.wildcards.push((caller.clone(), position));
                } else {
                    let name = caller.as_str().to_owned();
                    policy.exact.entry(name).or_default().push(position);
                }
            }
        }
        policy
    }

    /// A policy that allows every method to every caller with a certificate of the
    /// authority.
    pub fn any_certificate() -> Self {
        Self {
            open: true,
            ..Self::default()
        }
    }

    /// Returns `true` if callers need no name.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The positions of the rules for a caller with this name.
    pub(super) fn positions_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let exact = self.exact.get(name).into_iter().flatten();
        let wildcards = self
            .wildcards
            .iter()
            .filter(|(pattern, _)| pattern.matches(name))
            .map(|(_, position)| position);
        exact.chain(wildcards).copied()
    }

    /// The rules for a caller with this name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.positions_of(name)
            .filter_map(|position| self.rules.get(position))
    }

    /// Returns `true` if one rule for one of the names allows the whole request.
    pub fn allows<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        request: &AccessRequest<'_>,
    ) -> bool {
        self.open
            || names
                .into_iter()
                .any(|name| self.of(name).any(|rule| rule.allows(request)))
    }
}
