//! The current policy: reloaded when its file changes, and read without a lock.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use latchkey_config::{ConfigError, Environment};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::compiled::Policy;
use crate::contract::Contract;

const NAME: &str = "POLICY";
/// How often the file is checked for changes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The current policy, which is reloaded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LivePolicy {
    current: Arc<ArcSwap<Policy>>,
    changes: watch::Sender<()>,
    environment: Environment,
    contract: &'static Contract,
}

impl LivePolicy {
    /// The policy of `POLICY_FILE` (or `POLICY`). It has no default: the operator must
    /// say who may read people's accounts and tokens.
    ///
    /// # Errors
    /// Neither is set, or the text is not a policy.
    pub fn from_environment(
        environment: &Environment,
        contract: &'static Contract,
    ) -> Result<Self, ConfigError> {
        let policy = parse(&read(environment, contract)?, contract)?;
        log_policy(&policy);
        Ok(Self::of(policy, environment.clone(), contract))
    }

    /// A policy that is not reloaded.
    pub fn fixed(policy: Policy, contract: &'static Contract) -> Self {
        Self::of(policy, Environment::default(), contract)
    }

    fn of(policy: Policy, environment: Environment, contract: &'static Contract) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(policy)),
            changes: watch::Sender::default(),
            environment,
            contract,
        }
    }

    /// The service that the policy is for.
    pub fn contract(&self) -> &'static Contract {
        self.contract
    }

    /// The current policy.
    pub fn current(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Notifies of every policy that comes into force from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Reloads the policy when its file changes, until `stop`. A text that is not a policy
    /// is logged and changes nothing.
    pub async fn follow_file(self, stop: CancellationToken) {
        let mut seen = read(&self.environment, self.contract);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            let now = read(&self.environment, self.contract);
            if now == seen {
                continue;
            }
            match now.clone().and_then(|text| parse(&text, self.contract)) {
                Ok(policy) => {
                    log_policy(&policy);
                    self.current.store(Arc::new(policy));
                    self.changes.send_replace(());
                }
                Err(error) => tracing::error!(
                    %error,
                    "the new policy is not valid: the previous one stays in force"
                ),
            }
            seen = now;
        }
    }
}

fn read(environment: &Environment, contract: &Contract) -> Result<String, ConfigError> {
    let program = contract.program();
    environment.required(
        NAME,
        &format!(
            "a policy that says who may call {}, or POLICY_FILE to its path (docs/policy.md; \
             `{program} policy check` reads one), or to any-certificate for development",
            contract.service()
        ),
    )
}

fn parse(text: &str, contract: &Contract) -> Result<Policy, ConfigError> {
    Policy::parse(text, contract)
        .map_err(|error| ConfigError::new(NAME, format!("is wrong: {error}")))
}

fn log_policy(policy: &Policy) {
    if policy.is_open() {
        tracing::warn!(
            "POLICY is any-certificate: every caller with a certificate may call every method"
        );
    } else if policy.rules().is_empty() {
        tracing::warn!("the policy has no rules: every call is refused");
    } else {
        tracing::info!(rules = policy.rules().len(), "policy is in force");
    }
}
