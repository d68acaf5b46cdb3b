//! Deploys Latchkey with the commands of `deploy/kubernetes/README.md`, with PostgreSQL and
//! RabbitMQ beside the cluster as managed servers.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, Postgres, Progress, RabbitMq};
use sqlx::PgPool;

use crate::addresses::{NODE_IP, POSTGRESQL, RABBITMQ};
use crate::cluster::Cluster;
use crate::image;
use crate::readme;
use crate::session::{Session, workspace as workspace_directory};

/// Namespace of the overlay `dev`.
pub const NAMESPACE: &str = "latchkey-dev";
/// Section of the README.
const SECTION: &str = "Try it out";
/// The owner of the database in the README's example.
const OWNER_URL: &str = "postgres://latchkey:password@10.99.0.1:5432/latchkey";
const OWNER: [&str; 2] = [
    "CREATE ROLE latchkey LOGIN CREATEROLE PASSWORD 'password'",
    "CREATE DATABASE latchkey OWNER latchkey",
];

/// PostgreSQL and RabbitMQ, which pods reach at the address of the node.
#[derive(Debug)]
pub struct Servers {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// RabbitMQ.
    pub rabbitmq: RabbitMq,
}

impl Servers {
    /// Starts both, and creates an empty database whose owner may create roles.
    ///
    /// # Errors
    /// A server does not start.
    pub async fn start(directory: &Path) -> anyhow::Result<Self> {
        let (postgres, rabbitmq) = tokio::try_join!(
            Postgres::start_at(directory, POSTGRESQL),
            RabbitMq::start_at(directory, RABBITMQ)
        )?;
        let pool = PgPool::connect(&postgres.url("postgres")).await?;
        for statement in OWNER {
            sqlx::query(statement).execute(&pool).await?;
        }
        pool.close().await;
        Ok(Self { postgres, rabbitmq })
    }
}

/// A deployment of the overlay `dev`.
#[derive(Debug)]
pub struct Deployment {
    /// The directory in which the README's commands run; it has a copy of the manifests.
    pub directory: PathBuf,
    /// Why the commands that should have replaced those of the README failed.
    pub start_error: Option<String>,
    exports: String,
    path: OsString,
    kubeconfig: PathBuf,
    log: PathBuf,
}

impl Deployment {
    /// Deploys the overlay and creates a workspace, command by command. `start` replaces the
    /// commands that apply the overlay, unless it fails.
    ///
    /// # Errors
    /// A command fails.
    pub async fn create(
        session: &Session,
        servers: &Servers,
        start: Option<&str>,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let blocks = readme::commands(SECTION)?;
        let [exports, secrets, namespace, apply, workspace, ..] = blocks.as_slice() else {
            anyhow::bail!("deploy/kubernetes/README.md has other commands in {SECTION}");
        };
        anyhow::ensure!(
            exports.contains(OWNER_URL) && exports.contains(&RABBITMQ.to_string()),
            "the servers of deploy/kubernetes/README.md have other addresses"
        );
        let mut deployment = Self::prepare(session, servers, exports)?;
        progress("making secrets");
        deployment.run(secrets).await?;
        progress("creating the namespace and its Secrets");
        deployment.run(namespace).await?;
        progress("migrating the database, starting the services");
        if let Some(start) = start {
            let started = deployment.run(start).await;
            deployment.start_error = started.err().map(|error| format!("{error:#}"));
        }
        if start.is_none() || deployment.start_error.is_some() {
            deployment.run(apply).await?;
        }
        progress("creating a workspace");
        // The other commands of the block are for a browser.
        let commands: Vec<&str> = workspace
            .lines()
            .filter(|line| line.contains("deploy/kubernetes/latchkey "))
            .collect();
        anyhow::ensure!(!commands.is_empty(), "the README creates no workspace");
        // The previous release has no image of this name.
        let image = format!(
            "export LATCHKEY_IMAGE=latchkey/{}:{}",
            image::COMMANDS.0,
            image::release(&workspace_directory())?
        );
        deployment
            .run(&format!("{image}\n{}", commands.join("\n")))
            .await?;
        Ok(deployment)
    }

    /// Copies the manifests, enters the addresses of the servers, and makes the commands of the
    /// README available.
    fn prepare(session: &Session, servers: &Servers, exports: &str) -> anyhow::Result<Self> {
        let directory = session.site();
        let manifests = "deploy/kubernetes";
        // The component grafana refers to the dashboards.
        for part in [manifests, "deploy/dashboards"] {
            copy(&workspace_directory().join(part), &directory.join(part))?;
        }
        enter_site(&directory.join(manifests).join("overlays/dev/site.yaml"))?;

        let programs = directory.join("bin");
        fs::create_dir_all(&programs)?;
        write_rabbitmqctl(&programs.join("rabbitmqctl"), &servers.rabbitmq)?;
        let psql = servers.postgres.program("psql");
        let path = session.programs.path()?;
        let others = [programs]
            .into_iter()
            .chain(psql.parent().map(Path::to_owned));
        Ok(Self {
            directory,
            start_error: None,
            exports: exports.to_owned(),
            path: std::env::join_paths(others.chain(std::env::split_paths(&path)))?,
            kubeconfig: session.kubeconfig(),
            log: session.logs().join("commands.log"),
        })
    }

    /// Runs commands with the variables of the README. Their output is that of this process.
    ///
    /// # Errors
    /// A command fails.
    pub async fn run(&self, commands: &str) -> anyhow::Result<()> {
        self.run_with(commands, None).await
    }

    /// Runs commands with the variables of the README, and appends their output to a log.
    ///
    /// # Errors
    /// A command fails.
    pub async fn run_with_log(&self, commands: &str) -> anyhow::Result<()> {
        self.run_with(commands, Some(self.log.clone())).await
    }

    async fn run_with(&self, commands: &str, log: Option<PathBuf>) -> anyhow::Result<()> {
        let mut spec = ChildSpec::new("bash", "bash", &self.directory, Path::new(""));
        spec.log = log;
        let spec = spec
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .arg("-c")
            .arg(format!("set -euo pipefail\n{}\n{commands}", self.exports));
        let status = Child::start(spec)?.wait().await;
        anyhow::ensure!(
            status.is_some_and(|status| status.success()),
            "these commands failed:\n{commands}"
        );
        Ok(())
    }

    /// Returns the directory of the overlays.
    pub fn overlays(&self) -> PathBuf {
        self.directory.join("deploy/kubernetes/overlays")
    }

    /// Returns the directory of an overlay.
    pub fn overlay(&self, name: &str) -> PathBuf {
        self.overlays().join(name)
    }

    /// Returns a directory of `make-secrets`, such as `client`.
    pub fn secrets(&self, name: &str) -> PathBuf {
        self.directory.join("latchkey-secrets").join(name)
    }
}

/// Installs the definitions of custom resources, so that the server validates every component.
///
/// # Errors
/// The server refuses a definition.
pub async fn install_definitions(session: &Session, cluster: &Cluster) -> anyhow::Result<()> {
    let mut arguments = vec!["create".to_owned()];
    for file in &session.definitions {
        arguments.push(format!("--filename={}", file.display()));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    cluster.kubectl.run(&arguments).await?;
    let established = [
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=60s",
    ];
    cluster.kubectl.run(&established).await?;
    Ok(())
}

/// Enters the networks of the two servers, as the README says.
///
/// # Errors
/// The file cannot be read or written.
pub fn enter_site(file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let entered: Vec<String> = text
        .lines()
        .map(|line| match line.trim_start().split_once(':') {
            Some((name @ ("postgresql" | "rabbitmq"), _)) => format!("  {name}: {NODE_IP}/32"),
            _ => line.to_owned(),
        })
        .collect();
    Ok(fs::write(file, entered.join("\n") + "\n")?)
}

/// Writes a program that runs `rabbitmqctl` for the private node.
fn write_rabbitmqctl(file: &Path, rabbitmq: &RabbitMq) -> anyhow::Result<()> {
    let command = rabbitmq.control();
    let mut script = "#!/bin/sh\n".to_owned();
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        writeln!(script, "export {}='{value}'", name.to_string_lossy())?;
    }
    let program = command.get_program().to_string_lossy();
    writeln!(script, "exec '{program}' \"$@\"")?;
    fs::write(file, script)?;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// Copies a directory with everything in it.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
