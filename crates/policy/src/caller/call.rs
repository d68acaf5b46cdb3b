//! An authorized call, and the further checks when its account becomes known.

use std::net::SocketAddr;
use std::sync::Arc;

use latchkey_domain::{AccountId, Clock, ProviderName, WorkspaceId};
use latchkey_service::grpc::{caller_not_allowed, caller_unknown};
use latchkey_service::telemetry::current_trace_id;
use tokio::sync::watch;
use tonic::{Request, Status};

use super::identity::Caller;
use crate::audit::{Audit, Outcome, Record};
use crate::contract::Method;
use crate::policy::{AccessRequest, CallRules, Choice, LivePolicy};

/// The policy, audit and clock that all calls of a service share.
#[derive(Debug)]
pub(super) struct CallContext {
    pub(super) policy: LivePolicy,
    pub(super) audit: Audit,
    pub(super) clock: Arc<dyn Clock>,
}

/// A call whose method the policy allows to its caller. Further checks are made here,
/// and their refusals are recorded here.
#[derive(Debug, Clone)]
pub struct Call {
    context: Arc<CallContext>,
    /// Of the policy that was in force when the call began.
    rules: CallRules,
    caller: Caller,
    peer: Option<SocketAddr>,
}

impl Call {
    pub(super) fn new(
        context: Arc<CallContext>,
        rules: CallRules,
        caller: Caller,
        peer: Option<SocketAddr>,
    ) -> Self {
        Self {
            context,
            rules,
            caller,
            peer,
        }
    }

    /// The call of a request.
    ///
    /// # Errors
    /// The request did not pass the [`Authorizer`](super::Authorizer).
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(caller_unknown)
    }

    /// The method that is called.
    pub fn method(&self) -> Method {
        self.rules.method()
    }

    /// The name of the caller; empty if it has none.
    pub fn caller(&self) -> &str {
        self.caller.name()
    }

    /// Returns `true` if the caller may call the method for every account.
    pub fn allows_every_account(&self) -> bool {
        self.rules.allow_every_account()
    }

    /// Returns `true` if the policy that was in force when the call began allows the
    /// request.
    pub fn allows(&self, request: &AccessRequest<'_>) -> bool {
        self.rules.allow(request)
    }

    /// Returns `true` if the current policy allows the request. A stream may outlive the
    /// policy that it began under.
    pub fn still_allows(&self, request: &AccessRequest<'_>) -> bool {
        let policy = self.context.policy.current();
        if self.rules.are_of(&policy) {
            return self.allows(request);
        }
        policy.allows(self.caller.names(), request)
    }

    /// Notifies of every policy that comes into force from now on.
    pub fn policy_changes(&self) -> watch::Receiver<()> {
        self.context.policy.changes()
    }

    /// Checks a workspace and a provider before anything is looked up there.
    ///
    /// # Errors
    /// The policy does not allow it.
    pub fn check_location(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
    ) -> Result<(), Status> {
        let request = AccessRequest {
            workspace: Some(workspace),
            provider: Some(provider),
            ..AccessRequest::method(self.method())
        };
        if self.allows(&request) {
            return Ok(());
        }
        Err(self.refuse(Record {
            workspace: Some(workspace),
            provider: Some(provider.clone()),
            reason: Some("workspace or provider".to_owned()),
            ..self.record(Outcome::Refused)
        }))
    }

    /// The providers whose accounts in a workspace the caller may see.
    ///
    /// # Errors
    /// The policy allows no provider there.
    pub fn providers(&self, workspace: WorkspaceId) -> Result<Choice<ProviderName>, Status> {
        match self.rules.providers(workspace) {
            Choice::Only(none) if none.is_empty() => Err(self.refuse(Record {
                workspace: Some(workspace),
                reason: Some("workspace".to_owned()),
                ..self.record(Outcome::Refused)
            })),
            providers => Ok(providers),
        }
    }

    /// Refuses an account, with the same text whether or not it exists.
    pub fn refuse_account(
        &self,
        account: Option<AccountId>,
        known: Option<(WorkspaceId, ProviderName)>,
    ) -> Status {
        let reason = if known.is_some() {
            "account outside the policy"
        } else {
            "no such account"
        };
        let (workspace, provider) = known.unzip();
        self.refuse(Record {
            account,
            workspace,
            provider,
            reason: Some(reason.to_owned()),
            ..self.record(Outcome::Refused)
        })
    }

    /// Records a refusal and returns its status.
    pub fn refuse(&self, record: Record) -> Status {
        self.write(record);
        caller_not_allowed()
    }

    /// Records without waiting.
    pub fn write(&self, record: Record) {
        self.context.audit.record(record);
    }

    /// A record of this call without an account.
    pub fn record(&self, outcome: Outcome) -> Record {
        Record {
            caller: self.caller.name().to_owned(),
            peer: self.peer,
            trace_id: current_trace_id(),
            ..Record::new(self.context.clock.now(), self.method().as_str(), outcome)
        }
    }
}
