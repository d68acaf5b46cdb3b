use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use latchkey_service::health::Check;

use super::declare::RefusedDeclaration;

/// The declarations that the broker refused, for `/readyz`. The services use the exchanges and
/// queues as they are.
#[derive(Debug, Clone, Default)]
pub struct RefusedDeclarations(Arc<Mutex<BTreeMap<String, String>>>);

impl RefusedDeclarations {
    /// Replaces the refusals by those of the latest declarations. New ones are logged.
    pub fn replace(&self, refused: &[RefusedDeclaration]) {
        let next: BTreeMap<String, String> = refused
            .iter()
            .map(|refused| (refused.what.clone(), refused.reason.clone()))
            .collect();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, reason) in &next {
            if held.get(what) != Some(reason) {
                tracing::error!(
                    what,
                    reason,
                    "the broker refuses a change of the topology: used as it is"
                );
            }
        }
        *held = next;
    }
}

#[async_trait]
impl Check for RefusedDeclarations {
    fn name(&self) -> &'static str {
        "topology"
    }

    async fn check(&self) -> Result<(), String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() {
            return Ok(());
        }
        let problems: Vec<String> = held
            .iter()
            .map(|(what, reason)| format!("{what}: {reason}"))
            .collect();
        Err(problems.join("; "))
    }
}
