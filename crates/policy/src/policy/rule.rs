//! A rule of a policy.

use std::hash::Hash;

use foldhash::HashSet;
use latchkey_domain::{ProviderName, ScopeSet, WorkspaceId};
use latchkey_scopes::ScopeRules;
use latchkey_service::grpc::Pattern;

use crate::contract::Method;

/// All values of a kind, or only the listed ones.
#[derive(Debug, Clone)]
pub enum Choice<T> {
    /// Written `"*"`.
    Every,
    /// Written as a list. Nothing that a caller sends is ever inserted, so that the hash need not
    /// resist collisions.
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

/// The request of a caller. A field that is not known yet is not checked.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// The method that is called.
    pub method: Method,
    /// The workspace of the account.
    pub workspace: Option<WorkspaceId>,
    /// The provider of the account.
    pub provider: Option<&'a ProviderName>,
    /// The scopes of the token, or those that are requested.
    pub scopes: Option<Scopes<'a>>,
}

/// Scopes that a rule may limit.
#[derive(Debug, Clone, Copy)]
pub enum Scopes<'a> {
    /// The requested scopes. An empty set is within every limit.
    Requested(&'a ScopeSet),
    /// The scopes of the token. An empty set means that they are unknown, which is within
    /// no limit.
    Granted(&'a ScopeSet),
}

impl AccessRequest<'_> {
    /// A request to call a method, without an account.
    pub fn method(method: Method) -> Self {
        Self {
            method,
            workspace: None,
            provider: None,
            scopes: None,
        }
    }
}

/// These callers may call these methods for accounts of these providers in these
/// workspaces, and receive tokens with at most these scopes.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) name: String,
    pub(super) callers: Vec<Pattern>,
    pub(super) methods: Choice<Method>,
    pub(super) providers: Choice<ProviderName>,
    pub(super) workspaces: Choice<WorkspaceId>,
    /// `None` if every scope is allowed. Identity scopes are always allowed.
    pub(super) scopes: Option<ScopeSet>,
}

impl Rule {
    /// Its name in the file, or its number there.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The patterns of the callers that it is for.
    pub fn callers(&self) -> &[Pattern] {
        &self.callers
    }

    /// Returns `true` if it allows the whole request.
    pub fn allows(&self, request: &AccessRequest<'_>) -> bool {
        self.first_mismatch(request).is_none()
    }

    /// The first part of the request that it does not allow.
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

    /// Returns `true` if the scopes are within the limit. If the provider is not known yet,
    /// it is enough that they are within it for one provider that the rule allows: the
    /// token is checked again.
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
