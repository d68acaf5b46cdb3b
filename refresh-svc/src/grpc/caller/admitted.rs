//! A call that was let in, and what is judged as more of it becomes known.

use std::net::SocketAddr;
use std::sync::Arc;

use latchkey_domain::{AccountId, ProviderName, ScopeSet, WorkspaceId};
use latchkey_service::grpc::{caller_not_allowed, caller_unknown};
use latchkey_service::telemetry::current_trace_id;
use tokio::sync::watch;
use tonic::{Request, Status};

use super::Caller;
use super::gate::Gate;
use crate::audit::{Outcome, Record};
use crate::policy::{Ask, Method, Policy};
use crate::snapshot::Snapshot;
use crate::store::Facts;

/// A caller whose method the policy allows. Everything further is asked here;
/// what is refused here is written down here.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    gate: Gate,
    /// The policy that the call began under.
    policy: Arc<Policy>,
    caller: Caller,
    peer: Option<SocketAddr>,
    method: Method,
}

impl Admitted {
    pub(super) fn new(
        gate: Gate,
        policy: Arc<Policy>,
        caller: Caller,
        peer: Option<SocketAddr>,
        method: Method,
    ) -> Self {
        Self {
            gate,
            policy,
            caller,
            peer,
            method,
        }
    }

    /// Who made a request. A request that did not come through the gate is
    /// nobody's.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(caller_unknown)
    }

    /// True where no account is closed to the caller.
    pub(crate) fn reaches_everything(&self) -> bool {
        self.policy
            .reaches_everything(self.caller.names(), self.method)
    }

    /// Judges a workspace and a provider before anything is looked up there.
    pub(crate) fn reach(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
    ) -> Result<(), Status> {
        let ask = Ask {
            workspace: Some(workspace),
            provider: Some(provider),
            ..Ask::method(self.method)
        };
        if self.allows(&ask) {
            return Ok(());
        }
        Err(self.refuse(Record {
            workspace: Some(workspace),
            provider: Some(provider.clone()),
            reason: Some("workspace or provider".to_owned()),
            ..self.record(Outcome::Refused)
        }))
    }

    /// Judges the scopes that are asked for before anything is looked up.
    pub(crate) fn ask_for(&self, scopes: &ScopeSet) -> Result<(), Status> {
        let ask = Ask {
            scopes: Some(scopes),
            ..Ask::method(self.method)
        };
        if self.allows(&ask) {
            return Ok(());
        }
        Err(self.refuse(Record {
            reason: Some("scopes".to_owned()),
            ..self.record(Outcome::Refused)
        }))
    }

    /// True where the caller may have a token of such an account.
    pub(crate) fn may_have(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
        scopes: &ScopeSet,
    ) -> bool {
        self.allows(&self.ask(workspace, provider, scopes))
    }

    /// Refuses an account, in the same words whether or not there is one.
    pub(crate) fn refuse_account(&self, account: AccountId, facts: Option<Facts>) -> Status {
        let reason = if facts.is_some() {
            "account outside the policy"
        } else {
            "no such account"
        };
        let (workspace, provider) = facts.map(|facts| (facts.workspace, facts.provider)).unzip();
        self.refuse(Record {
            account: Some(account),
            workspace,
            provider,
            reason: Some(reason.to_owned()),
            ..self.record(Outcome::Refused)
        })
    }

    /// Tells of every policy that comes into force from now on.
    pub(crate) fn policy_changes(&self) -> watch::Receiver<()> {
        self.gate.policy_changes()
    }

    /// Judges an account as it is now by the policy of now: a stream outlives
    /// policies.
    pub(crate) fn may_still_have(&self, snapshot: &Snapshot) -> Result<(), Status> {
        let policy = self.gate.policy();
        if policy.reaches_everything(self.caller.names(), self.method) {
            return Ok(());
        }
        let ask = self.ask(
            snapshot.workspace,
            &snapshot.provider,
            &snapshot.granted_scopes,
        );
        if policy.allows(self.caller.names(), &ask) {
            return Ok(());
        }
        Err(self.refuse_account(snapshot.account, Some(snapshot.into())))
    }

    /// Judges what is about to be answered, and writes it down.
    pub(crate) fn give(&self, snapshot: &Snapshot) -> Result<(), Status> {
        self.may_still_have(snapshot)?;
        self.gate.audit().record(Record {
            account: Some(snapshot.account),
            workspace: Some(snapshot.workspace),
            provider: Some(snapshot.provider.clone()),
            granted_scopes: Some(Arc::clone(&snapshot.granted_scopes)),
            ..self.record(Outcome::Given)
        });
        Ok(())
    }

    /// Writes down that a grant was revoked.
    pub(crate) fn revoked(&self, account: AccountId) {
        self.gate.audit().record(Record {
            account: Some(account),
            ..self.record(Outcome::Revoked)
        });
    }

    fn ask<'a>(
        &self,
        workspace: WorkspaceId,
        provider: &'a ProviderName,
        scopes: &'a ScopeSet,
    ) -> Ask<'a> {
        Ask {
            method: self.method,
            workspace: Some(workspace),
            provider: Some(provider),
            scopes: Some(scopes),
        }
    }

    fn allows(&self, ask: &Ask<'_>) -> bool {
        self.policy.allows(self.caller.names(), ask)
    }

    fn refuse(&self, record: Record) -> Status {
        self.gate.audit().record(record);
        caller_not_allowed()
    }

    fn record(&self, outcome: Outcome) -> Record {
        Record {
            caller: self.caller.name().to_owned(),
            peer: self.peer,
            trace_id: current_trace_id(),
            ..Record::new(self.gate.now(), self.method.as_str(), outcome)
        }
    }
}
