//! The refresh and access tokens that are valid.

use std::collections::{BTreeSet, HashMap};

use crate::Flavour;

/// What one authorization gave to the client.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub flavour: Flavour,
    pub person: String,
    pub scopes: BTreeSet<String>,
    /// Identifies all tokens of the authorization.
    pub family: String,
}

/// A refresh token.
#[derive(Debug, Clone)]
pub(crate) struct RefreshToken {
    pub grant: Grant,
    /// Set by the strict provider, which accepts a refresh token once.
    pub used: bool,
}

/// An access token.
#[derive(Debug)]
pub(crate) struct AccessToken {
    pub grant: Grant,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// The tokens that are valid. A revocation looks only at those of the person.
#[derive(Default)]
pub(crate) struct Tokens {
    refresh: HashMap<String, RefreshToken>,
    access: HashMap<String, AccessToken>,
    /// Every token by the short name of the person.
    of_person: HashMap<String, Vec<String>>,
}

impl Tokens {
    pub(crate) fn refresh(&self, token: &str) -> Option<&RefreshToken> {
        self.refresh.get(token)
    }

    pub(crate) fn access(&self, token: &str) -> Option<&AccessToken> {
        self.access.get(token)
    }

    /// Returns the grant of a refresh or access token.
    pub(crate) fn grant_of(&self, token: &str) -> Option<&Grant> {
        let refresh = self.refresh.get(token).map(|token| &token.grant);
        refresh.or_else(|| Some(&self.access.get(token)?.grant))
    }

    pub(crate) fn insert_refresh(&mut self, token: String, grant: Grant) {
        self.record(&token, &grant);
        let used = false;
        self.refresh.insert(token, RefreshToken { grant, used });
    }

    pub(crate) fn insert_access(&mut self, token: String, grant: Grant, expires_at: i64) {
        self.record(&token, &grant);
        self.access.insert(token, AccessToken { grant, expires_at });
    }

    fn record(&mut self, token: &str, grant: &Grant) {
        let tokens = self.of_person.entry(grant.person.clone()).or_default();
        tokens.push(token.to_owned());
    }

    pub(crate) fn mark_used(&mut self, refresh_token: &str) {
        if let Some(token) = self.refresh.get_mut(refresh_token) {
            token.used = true;
        }
    }

    /// Revokes the tokens of a person whose grants match.
    pub(crate) fn revoke_of(&mut self, person: &str, matches: impl Fn(&Grant) -> bool) {
        let Some(mut tokens) = self.of_person.remove(person) else {
            return;
        };
        tokens.retain(|token| {
            let kept = self.grant_of(token).is_some_and(|grant| !matches(grant));
            if !kept {
                self.refresh.remove(token);
                self.access.remove(token);
            }
            kept
        });
        self.of_person.insert(person.to_owned(), tokens);
    }

    /// Revokes every token of one authorization.
    pub(crate) fn revoke_family(&mut self, person: &str, family: &str) {
        self.revoke_of(person, |grant| grant.family == family);
    }
}
