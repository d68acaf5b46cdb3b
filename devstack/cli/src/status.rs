//! `cargo dev status`: every address of the running stack, for people and other tools.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use latchkey_servers::{RunDirectory, target_directory};
use serde::{Deserialize, Serialize};

use crate::stack::{ServiceId, Stack, WORKSPACE_NAME};

const FILE: &str = "state.json";

/// Every address and credential path of a stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// Directory of the run: logs, certificates, data.
    pub directory: PathBuf,
    /// Process that owns the stack.
    pub process_id: u32,
    /// auth-svc.
    pub auth: Http,
    /// sync-svc.
    pub sync: Grpc,
    /// The replicas of refresh-svc.
    pub refresh: Vec<Grpc>,
    /// Certificates of a caller of the gRPC services.
    pub tls: Tls,
    /// PostgreSQL.
    pub database: Database,
    /// RabbitMQ.
    pub broker: Broker,
    /// The demo identity provider.
    pub demo_provider: DemoProvider,
    /// The workspace of a new stack.
    pub workspace: Workspace,
}

/// Addresses of an HTTP service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Http {
    /// Origin of its URLs.
    pub url: String,
    /// URL of its `/readyz`.
    pub ready_url: String,
    /// Path of its log.
    pub log: PathBuf,
    /// URL of the start of a sign-in, by provider.
    pub sign_in: BTreeMap<String, String>,
}

/// Addresses of a gRPC service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grpc {
    /// Origin of its URLs.
    pub url: String,
    /// The origin as `host:port`.
    pub address: String,
    /// URL of its `/readyz`.
    pub ready_url: String,
    /// Path of its log.
    pub log: PathBuf,
}

/// Paths of a caller's certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tls {
    /// Path of the authority's certificate, PEM.
    pub authority: PathBuf,
    /// Path of the client's certificate, PEM.
    pub client_certificate: PathBuf,
    /// Path of the client's key, PEM.
    pub client_key: PathBuf,
}

/// Addresses of PostgreSQL.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Database {
    /// URL for the superuser.
    pub url: String,
    /// Path of its log.
    pub log: PathBuf,
}

/// Addresses of RabbitMQ.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Broker {
    /// AMQP URL.
    pub url: String,
    /// URL of the management API and pages with credentials.
    pub management_url: String,
    /// Path of its log.
    pub log: PathBuf,
}

/// The demo identity provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DemoProvider {
    /// Origin of its URLs.
    pub url: String,
    /// Client id of auth-svc.
    pub client_id: String,
    /// Secret of that client.
    pub client_secret: String,
}

/// The workspace of a new stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workspace {
    /// Id of the workspace.
    pub id: String,
    /// Name of the workspace.
    pub name: String,
}

impl Addresses {
    /// Collects the addresses of a stack.
    ///
    /// # Errors
    /// A service is missing.
    pub fn of(stack: &Stack) -> anyhow::Result<Self> {
        let directory = stack.directory();
        let url = stack.public_url();
        let mut auth = None;
        let mut grpc = Vec::new();
        for (id, service) in stack.services() {
            let (ready_url, log) = (service.ready_url().to_owned(), service.log().to_owned());
            if *id == ServiceId::Auth {
                auth = Some(Http {
                    url: url.to_owned(),
                    ready_url,
                    log,
                    sign_in: sign_in_addresses(stack),
                });
                continue;
            }
            if matches!(id, ServiceId::AuthReplica(_)) {
                continue;
            }
            let url = stack.grpc_url(*id)?;
            let address = url.trim_start_matches("https://").to_owned();
            grpc.push((
                *id,
                Grpc {
                    url,
                    address,
                    ready_url,
                    log,
                },
            ));
        }
        let (sync, refresh): (Vec<_>, Vec<_>) =
            grpc.into_iter().partition(|(id, _)| *id == ServiceId::Sync);
        let client = stack.client();
        Ok(Self {
            process_id: std::process::id(),
            auth: auth.context("auth-svc is missing")?,
            sync: sync
                .into_iter()
                .map(|(_, sync)| sync)
                .next()
                .context("sync-svc is missing")?,
            refresh: refresh.into_iter().map(|(_, refresh)| refresh).collect(),
            tls: Tls {
                authority: stack.authority().clone(),
                client_certificate: client.certificate.clone(),
                client_key: client.key.clone(),
            },
            database: Database {
                url: stack.database().url().to_owned(),
                log: directory.join("postgres.log"),
            },
            broker: Broker {
                url: stack.servers.rabbitmq.url(),
                management_url: stack.servers.rabbitmq.api_url(),
                log: directory.join("rabbitmq.log"),
            },
            demo_provider: DemoProvider {
                url: stack.demo().base_url().to_owned(),
                client_id: stack.demo().client_id().to_owned(),
                client_secret: stack.demo().client_secret().to_owned(),
            },
            workspace: Workspace {
                id: stack.database().workspace_id().to_string(),
                name: WORKSPACE_NAME.to_owned(),
            },
            directory,
        })
    }

    /// Writes the addresses to the file that `cargo dev status` reads.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish(&self) -> anyhow::Result<()> {
        let path = self.directory.join(FILE);
        let unfinished = self.directory.join("state.json.new");
        fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
        // The file contains passwords.
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
        fs::rename(&unfinished, &path)?;
        Ok(())
    }
}

/// Returns the sign-in URL of every enabled provider, such as `/auth/google`.
fn sign_in_addresses(stack: &Stack) -> BTreeMap<String, String> {
    let url = stack.public_url();
    let variables = stack.provider_environment();
    let mut addresses = BTreeMap::new();
    for name in ["google", "microsoft"] {
        let switch = format!("AUTH_{}_ENABLED", name.to_uppercase());
        if variables.get(&switch).is_some_and(|value| value == "true") {
            addresses.insert(name.to_owned(), format!("{url}/auth/{name}"));
        }
    }
    for variable in variables.keys() {
        let name = variable
            .strip_prefix("AUTH_OIDC_")
            .and_then(|rest| rest.strip_suffix("_ISSUER"));
        if let Some(name) = name.map(str::to_lowercase) {
            let address = format!("{url}/auth/oidc/{name}");
            addresses.insert(name, address);
        }
    }
    addresses
}

/// Returns the running stacks, the newest first. Files of crashed ones are ignored.
///
/// # Errors
/// A state file cannot be read.
pub fn running() -> anyhow::Result<Vec<Addresses>> {
    let mut found: Vec<(SystemTime, Addresses)> = Vec::new();
    let Ok(entries) = fs::read_dir(target_directory().join("dev")) else {
        return Ok(Vec::new());
    };
    for entry in entries.flatten() {
        let path = entry.path().join(FILE);
        if !path.is_file() || !RunDirectory::is_alive(&entry.path()) {
            continue;
        }
        found.push((fs::metadata(&path)?.modified()?, read(&path)?));
    }
    found.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
    Ok(found.into_iter().map(|(_, addresses)| addresses).collect())
}

fn read(path: &Path) -> anyhow::Result<Addresses> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}
