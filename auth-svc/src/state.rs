//! The state that the handlers share.

use std::sync::Arc;

use latchkey_domain::Clock;
use latchkey_messaging::outbox::OutboxWaker;
use latchkey_providers::Registry;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::account::grpc_clients::GrpcClients;
use crate::config::Config;
use crate::http::rate_limit::RateLimits;
use crate::login::domain_policy::DeploymentPolicy;
use crate::login::open_flows::OpenFlows;
use crate::random::Randomness;
use crate::workspace::domain_verification::dns::TxtRecords;

/// The state that the handlers share.
#[derive(Debug)]
pub struct State {
    /// Configuration of the service.
    pub config: Config,
    /// The configured providers.
    pub providers: Registry,
    /// Clients of the other services, for the account pages.
    pub grpc_clients: GrpcClients,
    /// Database connections with the role of schema `auth`.
    pub pool: PgPool,
    /// Wakes the relay, after the commit of an event.
    pub outbox: OutboxWaker,
    /// Source of the current time.
    pub clock: Arc<dyn Clock>,
    /// Rate limits by address and by flow.
    pub rate_limits: RateLimits,
    /// Source of random secrets.
    pub randomness: Randomness,
    /// Number of flows that are open.
    pub open_flows: OpenFlows,
    /// Resolver of the TXT records that verify domains.
    pub txt: Arc<dyn TxtRecords>,
    /// Cancelled when the service is asked to stop. It then still serves for `SHUTDOWN_DELAY`.
    pub stopping: CancellationToken,
}

impl State {
    /// Returns what the deployment configures of the domain policy.
    pub fn deployment_policy(&self) -> DeploymentPolicy<'_> {
        DeploymentPolicy {
            allowed_domains: &self.config.allowed_domains,
            multi_workspace: self.config.multi_workspace,
        }
    }
}
