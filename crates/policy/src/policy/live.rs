//! The current policy: reloaded when its file changes, and read without a lock.

use std::sync::Arc;

use arc_swap::ArcSwap;
use latchkey_config::{ConfigError, Environment};
use latchkey_service::file_watch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::compiled::Policy;
use crate::contract::Contract;

const NAME: &str = "POLICY";

/// The current policy, which is reloaded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LivePolicy {
    current: Arc<ArcSwap<Policy>>,
    changes: watch::Sender<()>,
    file: Option<WatchedFile>,
    contract: &'static Contract,
}

/// Where the policy is read again.
#[derive(Debug, Clone)]
struct WatchedFile {
    /// The text of the first policy.
    text: Arc<str>,
    environment: Environment,
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
        let text = read(environment, contract)?;
        let policy = parse(&text, contract)?;
        log_policy(&policy);
        let file = WatchedFile {
            text,
            environment: environment.clone(),
        };
        Ok(Self::of(policy, Some(file), contract))
    }

    /// A policy that is not reloaded.
    pub fn fixed(policy: Policy, contract: &'static Contract) -> Self {
        Self::of(policy, None, contract)
    }

    fn of(policy: Policy, file: Option<WatchedFile>, contract: &'static Contract) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(policy)),
            changes: watch::Sender::default(),
            file,
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
        let Some(WatchedFile { text, environment }) = self.file else {
            return stop.cancelled().await;
        };
        let read = || read(&environment, self.contract);
        file_watch::watch("policy", stop, text, read, |text| {
            let policy = parse(text, self.contract)?;
            log_policy(&policy);
            self.current.store(Arc::new(policy));
            self.changes.send_replace(());
            Ok(())
        })
        .await;
    }
}

fn read(environment: &Environment, contract: &Contract) -> Result<Arc<str>, ConfigError> {
    let hint = format!(
        "a policy that says who may call {}, or POLICY_FILE to its path (docs/policy.md; \
         `latchkey policy check {}` reads one), or to any-certificate for development",
        contract.service(),
        contract.program(),
    );
    environment.required(NAME, &hint).map(Arc::from)
}

fn parse(text: &str, contract: &Contract) -> Result<Policy, ConfigError> {
    Policy::parse(text, contract)
        .map_err(|error| ConfigError::new(NAME, format!("must be a policy: {error}")))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // R36
    #[tokio::test(start_paused = true)]
    async fn a_policy_that_changed_before_the_watch_started_comes_into_force() {
        let path = std::env::temp_dir().join(uuid::Uuid::now_v7().to_string());
        std::fs::write(&path, "any-certificate").unwrap();
        let environment = [("POLICY_FILE", path.to_str().unwrap())]
            .into_iter()
            .collect();
        let live = LivePolicy::from_environment(&environment, Contract::tokens()).unwrap();
        std::fs::write(&path, "rule = []").unwrap();
        let mut changes = live.changes();
        tokio::select! {
            () = live.clone().follow_file(CancellationToken::new()) => panic!("the watch ended"),
            changed = tokio::time::timeout(Duration::from_secs(5), changes.changed()) => {
                changed.expect("the policy did not change").unwrap();
            }
        }
        assert!(!live.current().is_open());
        std::fs::remove_file(&path).unwrap();
    }
}
