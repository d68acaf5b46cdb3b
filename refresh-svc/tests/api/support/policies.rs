//! Policies, callers with other names, and audit records.

use std::net::SocketAddr;
use std::path::Path;

use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_servers::KeyPairFiles;
use latchkey_testkit::TestCertificates;
use tempfile::NamedTempFile;
use tonic::transport::Identity;

use super::{Client, World, endpoint, eventually, tls};

/// A policy file that a test may change.
pub struct PolicyFile(NamedTempFile);

impl PolicyFile {
    pub fn new(text: &str) -> Self {
        let policy = Self(NamedTempFile::new().unwrap());
        policy.write(text);
        policy
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.0.path(), text).unwrap();
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

/// One rule.
pub fn rule(
    callers: &str,
    methods: &str,
    providers: &str,
    workspaces: &str,
    scopes: &str,
) -> String {
    format!(
        "[[rule]]\ncallers = {callers}\nmethods = {methods}\nproviders = {providers}\n\
         workspaces = {workspaces}\nscopes = {scopes}\n"
    )
}

/// A rule that allows everything to one caller.
pub fn everything(caller: &str) -> String {
    let every = "\"*\"";
    rule(&format!("[{caller:?}]"), every, every, every, every)
}

/// Name of a service that synchronizes mail.
pub const MAIL: &str = "spiffe://acme.example/ns/sync/sa/mail";

/// A rule for it: tokens of mail in one workspace.
pub fn mail_of(workspace: &str) -> String {
    rule(
        &format!("[{MAIL:?}]"),
        "[\"GetAccessToken\"]",
        "[\"google\"]",
        &format!("[{workspace:?}]"),
        "[\"mail.read\"]",
    )
}

/// A row of `vault.audit`.
#[derive(Debug, sqlx::FromRow)]
pub struct Audited {
    pub caller: String,
    pub peer: Option<String>,
    pub method: String,
    pub account_id: Option<uuid::Uuid>,
    pub workspace_id: Option<uuid::Uuid>,
    pub provider: Option<String>,
    pub granted_scopes: Option<String>,
    pub outcome: String,
    pub reason: Option<String>,
}

impl World {
    pub fn with_policy(self, policy: &PolicyFile) -> Self {
        self.with("POLICY", "").with("POLICY_FILE", policy.path())
    }

    /// Waits for `count` records and returns them ordered by time.
    pub async fn audited(&self, count: usize) -> Vec<Audited> {
        eventually(async || {
            let rows: Vec<Audited> = sqlx::query_as("SELECT * FROM vault.audit ORDER BY at, id")
                .fetch_all(self.pool())
                .await
                .unwrap();
            (rows.len() >= count).then_some(rows)
        })
        .await
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

impl Client {
    /// Connects with another certificate at the first use.
    pub fn of(address: SocketAddr, certificates: &TestCertificates, own: &KeyPairFiles) -> Self {
        let identity = Identity::from_pem(read(&own.certificate), read(&own.key));
        let channel = endpoint(address, tls(certificates).identity(identity)).connect_lazy();
        Self(TokenServiceClient::new(channel))
    }

    /// Connects without a certificate at the first use.
    pub fn without_certificate(address: SocketAddr, certificates: &TestCertificates) -> Self {
        let channel = endpoint(address, tls(certificates)).connect_lazy();
        Self(TokenServiceClient::new(channel))
    }
}
