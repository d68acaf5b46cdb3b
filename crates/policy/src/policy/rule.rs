//! One rule: these callers may this.

use std::collections::HashSet;
use std::hash::Hash;

use latchkey_domain::{ProviderName, ScopeSet, WorkspaceId};
use latchkey_scopes::ScopeRules;
use latchkey_service::grpc::Pattern;

use crate::contract::Method;

/// Everything of a kind, or only these.
#[derive(Debug, Clone)]
pub enum Choice<T> {
    /// Written `"*"`.
    Every,
    /// Written as a list.
    Only(HashSet<T>),
}

impl<T: Eq + Hash> Choice<T> {
    fn contains(&self, one: &T) -> bool {
        match self {
            Self::Every => true,
            Self::Only(these) => these.contains(one),
        }
    }

    fn is_every(&self) -> bool {
        matches!(self, Self::Every)
    }
}

/// What a caller asks. What is not known yet is not judged yet.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// The method that is called.
    pub method: Method,
    /// Workspace of the account.
    pub workspace: Option<WorkspaceId>,
    /// Provider of the account.
    pub provider: Option<&'a ProviderName>,
    /// Scopes of the token, or those that are asked for.
    pub scopes: Option<Scopes<'a>>,
}

/// Scopes that a rule may limit.
#[derive(Debug, Clone, Copy)]
pub enum Scopes<'a> {
    /// Those that are asked for; none at all are within any limit.
    Requested(&'a ScopeSet),
    /// Those of the token. Where none are known it may be able to do anything, and it is
    /// within no limit.
    Granted(&'a ScopeSet),
}

impl AccessRequest<'_> {
    /// To call a method at all.
    pub fn method(method: Method) -> Self {
        Self {
            method,
            workspace: None,
            provider: None,
            scopes: None,
        }
    }
}

/// These callers may call these methods for accounts of these providers in
/// these workspaces, and receive tokens of no more than these scopes.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) name: String,
    pub(super) callers: Vec<Pattern>,
    pub(super) methods: Choice<Method>,
    pub(super) providers: Choice<ProviderName>,
    pub(super) workspaces: Choice<WorkspaceId>,
    /// Nothing where every scope may be received. Identity scopes always may.
    pub(super) scopes: Option<ScopeSet>,
}

impl Rule {
    /// Its name in the file, or its place there.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whom it speaks of.
    pub fn callers(&self) -> &[Pattern] {
        &self.callers
    }

    /// True where it allows everything that is asked.
    pub fn allows(&self, request: &AccessRequest<'_>) -> bool {
        self.first_mismatch(request).is_none()
    }

    /// The first thing that it does not allow.
    pub fn first_mismatch(&self, request: &AccessRequest<'_>) -> Option<&'static str> {
        if !self.methods.contains(&request.method) {
            return Some("method");
        }
        if request
            .provider
            .is_some_and(|one| !self.providers.contains(one))
        {
            return Some("provider");
        }
        if request
            .workspace
            .is_some_and(|one| !self.workspaces.contains(&one))
        {
            return Some("workspace");
        }
        match (&self.scopes, request.scopes) {
            (Some(limit), Some(scopes)) if !self.covers_scopes(limit, scopes, request.provider) => {
                Some("scopes")
            }
            _ => None,
        }
    }

    /// Returns `true` if the scopes are within the limit. Where the provider is not known
    /// yet, the rules of one that the rule allows must say so: the token is judged again.
    fn covers_scopes(
        &self,
        limit: &ScopeSet,
        scopes: Scopes<'_>,
        provider: Option<&ProviderName>,
    ) -> bool {
        let scopes = match scopes {
            Scopes::Granted(scopes) if scopes.is_empty() => return false,
            Scopes::Granted(scopes) | Scopes::Requested(scopes) => scopes,
        };
        let allows = |rules: ScopeRules| rules.allows(limit, scopes);
        match (provider, &self.providers) {
            (Some(provider), _) => allows(ScopeRules::of(provider)),
            (None, Choice::Only(these)) => these.iter().map(ScopeRules::of).any(allows),
            (None, Choice::Every) => ScopeRules::ALL.into_iter().any(allows),
        }
    }

    pub(super) fn allows_every_account(&self, method: Method) -> bool {
        self.methods.contains(&method)
            && self.providers.is_every()
            && self.workspaces.is_every()
            && self.scopes.is_none()
    }
}
