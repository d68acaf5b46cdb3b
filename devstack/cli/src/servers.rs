//! PostgreSQL and RabbitMQ without the services, for tests and development.

use std::path::{Path, PathBuf};

use latchkey_servers::{
    Package, Postgres, Progress, RabbitMq, RabbitMqCluster, RunDirectory, ServerError,
    ensure_installed,
};

/// A private PostgreSQL and a private RabbitMQ.
#[derive(Debug)]
pub struct Servers {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// RabbitMQ, or the first node of its cluster.
    pub rabbitmq: RabbitMq,
    /// The rest of RabbitMQ's cluster, if it is one.
    pub rabbitmq_cluster: Option<RabbitMqCluster>,
    directory: RunDirectory,
}

impl Servers {
    /// Installs missing packages and starts both servers.
    ///
    /// # Errors
    /// A server is missing or does not start.
    pub async fn start(group: &str, progress: &Progress) -> Result<Self, ServerError> {
        Self::start_cluster(group, progress, 1).await
    }

    /// Does the same with a cluster of RabbitMQ that has so many nodes.
    ///
    /// # Errors
    /// A server is missing or does not start.
    pub async fn start_cluster(
        group: &str,
        progress: &Progress,
        rabbitmq_nodes: usize,
    ) -> Result<Self, ServerError> {
        Self::start_with(group, progress, rabbitmq_nodes, async |directory| {
            Postgres::start(directory).await
        })
        .await
    }

    /// Does the same as [`Servers::start`] with [`Postgres::start_for_tests`].
    ///
    /// # Errors
    /// A server is missing or does not start.
    pub async fn start_for_tests(group: &str, progress: &Progress) -> Result<Self, ServerError> {
        Self::start_with(group, progress, 1, async |directory| {
            Postgres::start_for_tests(directory).await
        })
        .await
    }

    /// Does the same as [`Servers::start`] with [`Postgres::start_durable`].
    ///
    /// # Errors
    /// A server is missing or does not start.
    pub async fn start_durable(group: &str, progress: &Progress) -> Result<Self, ServerError> {
        Self::start_with(group, progress, 1, async |directory| {
            Postgres::start_durable(directory).await
        })
        .await
    }

    async fn start_with(
        group: &str,
        progress: &Progress,
        rabbitmq_nodes: usize,
        start_postgres: impl AsyncFnOnce(&Path) -> Result<Postgres, ServerError>,
    ) -> Result<Self, ServerError> {
        ensure_installed(&[Package::Postgres, Package::RabbitMq], progress)?;
        let directory = RunDirectory::create(group)?;
        progress("starting PostgreSQL and RabbitMQ");
        let start_rabbitmq = async {
            if rabbitmq_nodes > 1 {
                let started = RabbitMqCluster::start(directory.path(), rabbitmq_nodes).await;
                return started.map(|(first, cluster)| (first, Some(cluster)));
            }
            Ok((RabbitMq::start(directory.path()).await?, None))
        };
        let (postgres, (rabbitmq, rabbitmq_cluster)) =
            tokio::try_join!(start_postgres(directory.path()), start_rabbitmq)?;
        Ok(Self {
            postgres,
            rabbitmq,
            rabbitmq_cluster,
            directory,
        })
    }

    /// Returns the directory of the run.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Keeps the directory of the run so that somebody can read it. The next run removes it.
    pub fn keep_directory(&self) {
        self.directory.keep();
    }

    /// Returns the variables that `latchkey-testkit` reads.
    pub fn test_variables(&self) -> [(&'static str, String); 3] {
        [
            ("LATCHKEY_TEST_POSTGRES_URL", self.postgres.url("postgres")),
            ("LATCHKEY_TEST_AMQP_URL", self.rabbitmq.url()),
            ("LATCHKEY_TEST_RABBITMQ_API_URL", self.rabbitmq.api_url()),
        ]
    }
}
