//! The custom hosts of the workspaces, as the database had them a few seconds ago. Hosts in
//! requests are compared with them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use latchkey_domain::WorkspaceId;
use latchkey_service::database::{ANSWER, within};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::workspace::custom_host;

/// Interval at which the custom hosts are read again.
pub const FRESH: Duration = Duration::from_secs(5);

/// Custom hosts and their workspaces. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CustomHosts(Arc<RwLock<HashMap<String, WorkspaceId>>>);

impl CustomHosts {
    /// Replaces the hosts.
    pub fn replace(&self, hosts: HashMap<String, WorkspaceId>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Returns the workspace of a host.
    pub fn owner(&self, host: &str) -> Option<WorkspaceId> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(host)
            .copied()
    }
}

/// Reads the hosts from the database at an interval until `stop` is cancelled. If the
/// database is not available, the hosts stay as they are.
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
