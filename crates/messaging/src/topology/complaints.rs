use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use latchkey_service::health::Check;

use super::Refused;

/// What the broker refused to declare, for `/readyz`: the services go on with the
/// exchanges and queues as they are.
#[derive(Debug, Clone, Default)]
pub struct Complaints(Arc<Mutex<BTreeMap<String, String>>>);

impl Complaints {
    /// Takes the refusals of a whole declaration, in place of earlier ones. Each is
    /// told in the log when it is new.
    pub fn replace(&self, refused: &[Refused]) {
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
                    "the broker refuses a declaration: used as it is"
                );
            }
        }
        *held = next;
    }
}

#[async_trait]
impl Check for Complaints {
    fn name(&self) -> &'static str {
        "topology"
    }

    async fn check(&self) -> Result<(), String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = held
            .iter()
            .map(|(what, reason)| format!("{what}: {reason}"))
            .collect();
        Err(told.join("; "))
    }
}
