//! The workspaces' own hosts that were proven, as the database had them a
//! moment ago: what a request says is compared with them and never believed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use latchkey_domain::WorkspaceId;
use latchkey_service::database::{ANSWER, within};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::workspace::custom_host;

/// A host that was proven or given up counts as such after this.
pub const FRESH: Duration = Duration::from_secs(5);

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

/// Keeps `hosts` what the database has, until `stop` is cancelled. While the
/// database is away the hosts stay as they were.
pub async fn keep_fresh(pool: PgPool, hosts: CustomHosts, stop: CancellationToken) {
    loop {
        match within(ANSWER, custom_host::all(&pool)).await {
            Ok(now) => hosts.replace(now),
            Err(error) => tracing::warn!(%error, "the workspaces' own hosts were not read"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FRESH) => {}
        }
    }
}
