//! Authenticates and authorizes every call of a service, including future methods. A
//! caller without a name, or whose method no rule allows, is refused before the request
//! is read. A method that the service does not have is left to the server, which answers
//! UNIMPLEMENTED: a caller must be able to tell an older server from a policy.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use latchkey_config::ConfigError;
use latchkey_domain::Clock;
use latchkey_service::background::Tasks;
use latchkey_service::grpc::{
    Authorize, Peer, RejectedConnection, caller_not_allowed, caller_unknown,
};
use latchkey_service::telemetry::current_trace_id;
use tonic::Status;
use tonic::body::Body;

use super::call::{Call, CallContext};
use super::identity::Caller;
use super::service_account::{ServiceAccounts, bearer};
use super::settings::{CallerSettings, CallersBy};
use crate::audit::{Audit, Outcome, Record};
use crate::contract::Method;
use crate::policy::{CallRules, LivePolicy};

#[derive(Debug)]
struct Parts {
    context: Arc<CallContext>,
    by: CallersBy,
    accounts: Option<ServiceAccounts>,
}

/// Admits the calls that the policy allows. Cheap to clone.
///
/// To admit a call means: its caller is authenticated and the policy allows the method.
/// [`Call`] makes the further checks.
#[derive(Debug, Clone)]
pub struct Authorizer(Arc<Parts>);

impl Authorizer {
    /// An authorizer with this policy that records refusals in `audit`.
    ///
    /// # Errors
    /// The keys of service-account tokens cannot be read.
    pub fn new(
        policy: LivePolicy,
        settings: CallerSettings,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let accounts = settings
            .tokens
            .map(|tokens| ServiceAccounts::new(tokens, Arc::clone(&clock)))
            .transpose()?;
        Ok(Self(Arc::new(Parts {
            context: Arc::new(CallContext {
                policy,
                audit,
                clock,
            }),
            by: settings.by,
            accounts,
        })))
    }

    /// Reloads the policy and the keys of callers' tokens in background tasks.
    pub fn follow(&self, tasks: &Tasks) {
        let policy = self.0.context.policy.clone();
        tasks.spawn("policy", policy.follow_file(tasks.until()));
        if let Some(accounts) = &self.0.accounts {
            let keys = accounts.keys();
            tasks.spawn("keys of service-account tokens", keys.follow(tasks.until()));
        }
    }

    /// Records a TLS handshake that failed because of the client's certificate.
    pub fn record_failed_handshake(&self, rejected: RejectedConnection) {
        self.0.context.audit.record_unauthenticated(Record {
            peer: Some(rejected.address),
            reason: Some(rejected.problem),
            ..Record::new(
                self.0.context.clock.now(),
                "TLS handshake",
                Outcome::Refused,
            )
        });
    }

    fn authorize<B>(&self, request: &http::Request<B>, method: Method) -> Result<Call, Status> {
        let peer = request.extensions().get::<Peer>();
        let address = peer.map(|peer| peer.address);
        let policy = self.0.context.policy.current();
        let caller = self.caller(request, peer).map_err(|problem| {
            // The reason is recorded, but not sent to the caller.
            self.record_refusal(method, address, String::new(), problem);
            caller_unknown()
        })?;
        if !policy.is_open() && caller.name().is_empty() {
            let problem = "a certificate without a name".to_owned();
            self.record_refusal(method, address, String::new(), problem);
            return Err(caller_unknown());
        }
        let Some(rules) = CallRules::find(&policy, caller.names(), method) else {
            self.record_refusal(
                method,
                address,
                caller.name().to_owned(),
                "method".to_owned(),
            );
            return Err(caller_not_allowed());
        };
        let context = Arc::clone(&self.0.context);
        Ok(Call::new(context, rules, caller, address))
    }

    /// The caller, or why its credentials are not accepted.
    fn caller<B>(&self, request: &http::Request<B>, peer: Option<&Peer>) -> Result<Caller, String> {
        let by_certificate = || {
            peer.and_then(Caller::of_peer)
                .ok_or_else(|| "no certificate".to_owned())
        };
        let Some(accounts) = &self.0.accounts else {
            return by_certificate();
        };
        let Some(value) = request.headers().get(AUTHORIZATION) else {
            return match self.0.by {
                CallersBy::Certificate | CallersBy::Either => by_certificate(),
                CallersBy::Token | CallersBy::Both => Err("no token".to_owned()),
            };
        };
        let token = value
            .to_str()
            .ok()
            .and_then(bearer)
            .ok_or("no bearer token")?;
        accounts
            .name_of(token)
            .map(Caller::ServiceAccount)
            .map_err(|problem| problem.to_string())
    }

    fn record_refusal(
        &self,
        method: Method,
        peer: Option<SocketAddr>,
        caller: String,
        problem: String,
    ) {
        self.0.context.audit.record_unauthenticated(Record {
            caller,
            peer,
            reason: Some(problem),
            trace_id: current_trace_id(),
            ..Record::new(
                self.0.context.clock.now(),
                method.as_str(),
                Outcome::Refused,
            )
        });
    }
}

impl Authorize for Authorizer {
    fn authorize(&self, request: &mut http::Request<Body>) -> Result<(), Status> {
        // Health and reflection are open: they show nothing of accounts.
        let Some(method) = self
            .0
            .context
            .policy
            .contract()
            .method_of_path(request.uri().path())
        else {
            return Ok(());
        };
        let call = self.authorize(request, method)?;
        request.extensions_mut().insert(call);
        Ok(())
    }
}
