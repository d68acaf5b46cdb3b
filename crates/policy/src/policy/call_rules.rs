use std::sync::Arc;

use foldhash::HashSet;
use latchkey_domain::{ProviderName, WorkspaceId};
use smallvec::SmallVec;

use super::compiled::Policy;
use super::rule::{AccessRequest, Choice, Rule};
use crate::contract::Method;

/// The rules that allow a caller to call a method. They are looked up once for each call, and
/// every further check of the call reads only them.
#[derive(Debug, Clone)]
pub struct CallRules {
    policy: Arc<Policy>,
    method: Method,
    /// Positions in the policy. Most callers have few rules.
    positions: SmallVec<[usize; 4]>,
}

impl CallRules {
    /// The rules for a caller with these names; `None` if it must not call the method.
    pub fn find<'a>(
        policy: &Arc<Policy>,
        names: impl IntoIterator<Item = &'a str>,
        method: Method,
    ) -> Option<Self> {
        let request = AccessRequest::method(method);
        let positions: SmallVec<_> = names
            .into_iter()
            .flat_map(|name| policy.positions_of(name))
            .filter(|position| {
                let rule = policy.rules().get(*position);
                rule.is_some_and(|rule| rule.allows(&request))
            })
            .collect();
        (policy.is_open() || !positions.is_empty()).then(|| Self {
            policy: Arc::clone(policy),
            method,
            positions,
        })
    }

    /// The method that is called.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns `true` if they are rules of this policy.
    pub fn are_of(&self, policy: &Arc<Policy>) -> bool {
        Arc::ptr_eq(&self.policy, policy)
    }

    fn iter(&self) -> impl Iterator<Item = &Rule> {
        let rules = self.policy.rules();
        self.positions
            .iter()
            .filter_map(|position| rules.get(*position))
    }

    /// Returns `true` if one rule allows the whole request.
    pub fn allow(&self, request: &AccessRequest<'_>) -> bool {
        self.policy.is_open() || self.iter().any(|rule| rule.allows(request))
    }

    /// Returns `true` if one rule allows every account, so that the account need not be looked up
    /// first.
    pub fn allow_every_account(&self) -> bool {
        self.policy.is_open()
            || self
                .iter()
                .any(|rule| rule.allows_every_account(self.method))
    }

    /// The providers whose accounts in a workspace are allowed. If there are none, the list is empty.
    pub fn providers(&self, workspace: WorkspaceId) -> Choice<ProviderName> {
        if self.policy.is_open() {
            return Choice::Every;
        }
        let request = AccessRequest {
            workspace: Some(workspace),
            ..AccessRequest::method(self.method)
        };
        let mut allowed = HashSet::default();
        for rule in self.iter().filter(|rule| rule.allows(&request)) {
            match &rule.providers {
                Choice::Every => return Choice::Every,
                Choice::Only(these) => allowed.extend(these.iter().cloned()),
            }
        }
        Choice::Only(allowed)
    }
}
