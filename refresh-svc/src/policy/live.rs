//! The policy of now: replaced when its file changes, read without a lock.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use latchkey_config::{ConfigError, Environment};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Policy;

const NAME: &str = "POLICY";
/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The policy of now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LivePolicy {
    current: Arc<ArcSwap<Policy>>,
    changes: watch::Sender<()>,
    environment: Environment,
}

impl LivePolicy {
    /// The policy of `POLICY_FILE` (or `POLICY`). There is no default: who may
    /// have people's tokens is for somebody to say.
    ///
    /// # Errors
    /// Neither is set, or the text is no policy.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let policy = parse(&read(environment)?)?;
        tell(&policy);
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(policy)),
            changes: watch::Sender::default(),
            environment: environment.clone(),
        })
    }

    /// The policy of now.
    pub fn current(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Tells of every policy that comes into force from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Looks at the file again and again until `stop`. A text that is no policy
    /// changes nothing and is told.
    pub async fn follow_file(self, stop: CancellationToken) {
        let mut seen = read(&self.environment);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = read(&self.environment);
            if now == seen {
                continue;
            }
            match now.clone().and_then(|text| parse(&text)) {
                Ok(policy) => {
                    tell(&policy);
                    self.current.store(Arc::new(policy));
                    self.changes.send_replace(());
                }
                Err(error) => tracing::error!(
                    %error,
                    "the new policy cannot be used: the old one stays in force"
                ),
            }
            seen = now;
        }
    }
}

fn read(environment: &Environment) -> Result<String, ConfigError> {
    environment.required(
        NAME,
        "a policy that says who may ask for tokens, or POLICY_FILE to its path (docs/policy.md; \
         `refresh-svc policy check` reads one), or to any-certificate for development",
    )
}

fn parse(text: &str) -> Result<Policy, ConfigError> {
    text.parse()
        .map_err(|error| ConfigError::new(NAME, format!("is wrong: {error}")))
}

fn tell(policy: &Policy) {
    if policy.is_open() {
        tracing::warn!("POLICY is any-certificate: whoever has a certificate may have every token");
    } else if policy.rules().is_empty() {
        tracing::warn!("the policy has no rule: nobody may ask for a token");
    } else {
        tracing::info!(rules = policy.rules().len(), "policy in force");
    }
}
