//! The workspaces' own hosts that were proven, as the database had them a
//! moment ago: what a request says is compared with them and never believed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use latchkey_domain::WorkspaceId;

/// Hosts and whose they are; clones share them.
#[derive(Debug, Clone, Default)]
pub struct CustomHosts(Arc<RwLock<HashMap<String, WorkspaceId>>>);

impl CustomHosts {
    /// Takes what the database has now.
    pub fn replace(&self, hosts: HashMap<String, WorkspaceId>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Whose host it is.
    pub fn owner(&self, host: &str) -> Option<WorkspaceId> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(host)
            .copied()
    }
}
