//! Authorization of a call by the attributes of the account and its token.

use std::sync::Arc;

use latchkey_domain::{AccountId, ProviderName, ScopeSet, WorkspaceId};
use latchkey_policy::audit::{Outcome, Record};
use latchkey_policy::{AccessRequest, Call, Scopes};
use tokio::sync::watch;
use tonic::{Request, Status};

use crate::snapshot::Snapshot;
use crate::store::PolicyAttributes;

/// A call whose method the policy allows. All further checks are made here, and refusals
/// are audited here.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizedCall(Call);

impl AuthorizedCall {
    /// Returns the authorized call of a request. A request that did not pass the authorization layer is
    /// refused.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        Call::of(request).map(Self)
    }

    /// Name of the caller; empty if the caller has none.
    pub(crate) fn name(&self) -> &str {
        self.0.caller()
    }

    /// Returns `true` if the policy restricts neither workspaces nor providers nor
    /// scopes.
    pub(crate) fn allows_every_account(&self) -> bool {
        self.0.allows_every_account()
    }

    /// Checks a workspace and a provider before anything is looked up there.
    pub(crate) fn check_location(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
    ) -> Result<(), Status> {
        self.0.check_location(workspace, provider)
    }

    /// Checks the requested scopes before anything is looked up.
    pub(crate) fn check_scopes(&self, scopes: &ScopeSet) -> Result<(), Status> {
        // The method is allowed, and an empty set is within every limit.
        if scopes.is_empty() {
            return Ok(());
        }
        let ask = AccessRequest {
            scopes: Some(Scopes::Requested(scopes)),
            ..AccessRequest::method(self.0.method())
        };
        if self.0.allows(&ask) {
            return Ok(());
        }
        Err(self.0.refuse(Record {
            reason: Some("scopes".to_owned()),
            ..self.0.record(Outcome::Refused)
        }))
    }

    /// Returns `true` if the caller may have a token of such an account.
    pub(crate) fn allows_account(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
        scopes: &ScopeSet,
    ) -> bool {
        self.0.allows(&self.ask(workspace, provider, scopes))
    }

    /// Refuses an account with the same message whether or not it exists.
    pub(crate) fn refuse_account(
        &self,
        account: AccountId,
        attributes: Option<PolicyAttributes>,
    ) -> Status {
        self.0.refuse_account(
            Some(account),
            attributes.map(|attributes| (attributes.workspace, attributes.provider)),
        )
    }

    /// Notifies of every policy that comes into force from now on.
    pub(crate) fn policy_changes(&self) -> watch::Receiver<()> {
        self.0.policy_changes()
    }

    /// Checks an account again with its current attributes and the current policy: a
    /// stream may outlive a policy.
    pub(crate) fn recheck(&self, snapshot: &Snapshot) -> Result<(), Status> {
        let ask = self.ask(
            snapshot.workspace,
            snapshot.provider(),
            &snapshot.granted_scopes,
        );
        if self.0.still_allows(&ask) {
            return Ok(());
        }
        Err(self.refuse_account(snapshot.account, Some(snapshot.into())))
    }

    /// Checks a token before it is answered, and audits the answer.
    pub(crate) fn check_and_audit(&self, snapshot: &Snapshot) -> Result<(), Status> {
        self.recheck(snapshot)?;
        self.0.write(Record {
            account: Some(snapshot.account),
            workspace: Some(snapshot.workspace),
            provider: Some(snapshot.provider().clone()),
            granted_scopes: Some(Arc::clone(&snapshot.granted_scopes)),
            ..self.0.record(Outcome::Given)
        });
        Ok(())
    }

    /// Audits the revocation of a grant.
    pub(crate) fn audit_revocation(&self, account: AccountId) {
        self.0.write(Record {
            account: Some(account),
            ..self.0.record(Outcome::Revoked)
        });
    }

    fn ask<'a>(
        &self,
        workspace: WorkspaceId,
        provider: &'a ProviderName,
        scopes: &'a ScopeSet,
    ) -> AccessRequest<'a> {
        AccessRequest {
            workspace: Some(workspace),
            provider: Some(provider),
            scopes: Some(Scopes::Granted(scopes)),
            ..AccessRequest::method(self.0.method())
        }
    }
}
