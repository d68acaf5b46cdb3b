//! Everything that runs in the namespaces: PostgreSQL, RabbitMQ, Kubernetes and Latchkey.

use std::sync::Arc;
use std::time::Instant;

use latchkey_servers::Progress;
use sqlx::PgPool;

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Servers, install_definitions};
use crate::failure;
use crate::services::Services;
use crate::session::Session;

/// Everything that runs in the namespaces.
#[derive(Debug)]
pub struct Stack {
    _servers: Servers,
    /// Kubernetes.
    pub cluster: Cluster,
    /// Latchkey.
    pub deployment: Deployment,
    /// The services and their addresses.
    pub services: Arc<Services>,
    /// Connections of the database's superuser.
    pub pool: PgPool,
}

impl Stack {
    /// Starts the servers and the cluster, and deploys Latchkey. `start` replaces the commands that
    /// apply the overlay, unless it fails.
    ///
    /// # Errors
    /// A server, the cluster or a service does not start.
    pub async fn start(
        session: &Session,
        start: Option<&str>,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let (servers, cluster) = tokio::try_join!(
            Servers::start(&session.directory),
            Cluster::start(session, progress)
        )?;
        let seconds = begun.elapsed().as_secs_f32();
        progress(&format!(
            "the node, PostgreSQL and RabbitMQ are ready after {seconds:.1} s"
        ));
        progress("installing the definitions of custom resources");
        install_definitions(session, &cluster).await?;
        let begun = Instant::now();
        let deployment = Deployment::create(session, &servers, start, progress).await;
        let deployment = explain(deployment, &cluster, progress).await?;
        let seconds = begun.elapsed().as_secs_f32();
        progress(&format!("Latchkey is ready after {seconds:.1} s"));
        let services = Arc::new(Services::find(&cluster.kubectl, &deployment).await?);
        let pool = PgPool::connect(&servers.postgres.url("latchkey")).await?;
        Ok(Self {
            _servers: servers,
            cluster,
            deployment,
            services,
            pool,
        })
    }
}

/// Prints the state of the namespace if a step failed.
///
/// # Errors
/// The step failed.
pub async fn explain<T>(
    outcome: anyhow::Result<T>,
    cluster: &Cluster,
    progress: &Progress,
) -> anyhow::Result<T> {
    if outcome.is_err() {
        progress(&failure::describe(&cluster.kubectl).await);
    }
    outcome
}
