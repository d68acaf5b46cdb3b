//! Keycloak: realms with a client each, and people.

mod realm;
mod sessions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, free_port};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use url::Url;

use super::installation::Installation;
use super::process::Process;
use super::registration::{self, CLIENT_ID};
use super::scenarios::Server;
use super::stack_client::{SignInPages, address, client};
use crate::browser::{Browser, Page, Person};

pub(super) use realm::{NAME, Realm};

const ADMIN: &str = "admin";
const PASSWORD: &str = "any";
/// The first start also builds the distribution.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// File with the members that replace those of every discovery document.
const OVERRIDE: &str = "discovery-override.json";

/// Kind of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionKind {
    /// The session of a browser, in which further sign-ins need no password.
    Online,
    /// The session of a grant with offline access.
    Offline,
}

/// One realm of a Keycloak in development mode with its data in files.
#[derive(Clone)]
pub(super) struct Keycloak {
    installation: Installation,
    port: u16,
    public_url: String,
    process: Arc<Process>,
    http: reqwest::Client,
    realm: Realm,
}

impl Keycloak {
    pub(super) fn new(installation: Installation, public_url: &str) -> anyhow::Result<Self> {
        // Data of an earlier run.
        let _ = std::fs::remove_dir_all(installation.directory.join("data/h2"));
        let _ = std::fs::remove_file(installation.directory.join(OVERRIDE));
        let keycloak = Self {
            installation,
            port: free_port()?,
            public_url: public_url.to_owned(),
            process: Arc::default(),
            http: client()?,
            realm: Realm::Grants,
        };
        keycloak.set_client_keys(&[&registration::new_key("first")?])?;
        Ok(keycloak)
    }

    /// Returns another realm of the same server.
    pub(super) fn of(&self, realm: Realm) -> Self {
        Self {
            realm,
            ..self.clone()
        }
    }

    /// Returns the realm.
    pub(super) fn realm(&self) -> Realm {
        self.realm
    }

    /// Returns the path of the file with the keys of the client of [`Realm::Keys`].
    pub(super) fn client_key_file(&self) -> PathBuf {
        self.installation.directory.join("client-keys")
    }

    pub(super) fn version(&self) -> String {
        format!("Keycloak {}", self.installation.version)
    }

    /// Replaces the file with the client's keys. The first key signs.
    pub(super) fn set_client_keys(&self, keys: &[&str]) -> anyhow::Result<()> {
        let file = self.client_key_file();
        // The services never see half of it.
        let new = file.with_extension("new");
        std::fs::write(&new, keys.join("\n"))?;
        std::fs::rename(new, file)?;
        Ok(())
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn issuer(&self) -> String {
        format!("{}/realms/{}", self.base(), self.realm.name())
    }

    /// Returns a path below the realm.
    fn path(&self, rest: &str) -> String {
        format!("/{}{rest}", self.realm.name())
    }

    /// Returns the variables with which Latchkey uses this realm.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let key_file = self.client_key_file().display().to_string();
        let more = self.realm.variables(&key_file);
        registration::variables_with(self.realm.name(), self.issuer(), more)
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&self) -> anyhow::Result<()> {
        let directory = &self.installation.directory;
        let log = directory.join("server.log");
        let mut spec = ChildSpec::new("keycloak", "sh", directory, &log)
            .arg("bin/kc.sh")
            .arg("start-dev")
            .arg("--http-host=127.0.0.1")
            .arg(format!("--http-port={}", self.port))
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD)
            .env("KC_CACHE", "local")
            .env("JAVA_OPTS_APPEND", "-Xmx768m");
        let replaced = directory.join(OVERRIDE);
        if replaced.is_file() {
            spec = spec.arg(format!(
                "--spi-well-known--openid-configuration--openid-configuration-override={}",
                replaced.display()
            ));
        }
        let mut child = Child::start(spec)?;
        let master = format!("{}/realms/master", self.base());
        child
            .wait_until(START_TIMEOUT, || async {
                let answer = self.http.get(&master).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            })
            .await?;
        self.process.set_running(child);
        Ok(())
    }

    /// Restarts it with discovery documents that require pushed authorization requests.
    pub(super) async fn announce_pushed_requests(&self) -> anyhow::Result<()> {
        let announced = json!({"require_pushed_authorization_requests": true});
        let file = self.installation.directory.join(OVERRIDE);
        std::fs::write(file, announced.to_string())?;
        self.process.stop();
        self.start().await
    }

    /// Creates the realm and the client.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
        let realm = self.realm.representation();
        self.admin(Method::POST, "", Some(realm)).await?;
        let client = self.realm.client(&self.public_url);
        self.admin(Method::POST, &self.path("/clients"), Some(client))
            .await?;
        Ok(())
    }

    /// Creates a user account.
    pub(super) async fn add_person(&self, login: &str) -> anyhow::Result<()> {
        let person = json!({
            "username": login,
            "enabled": true,
            "email": address(login),
            "emailVerified": true,
            "firstName": login,
            "lastName": "Lovelace",
            "credentials": [{"type": "password", "value": PASSWORD, "temporary": false}],
        });
        self.admin(Method::POST, &self.path("/users"), Some(person))
            .await?;
        Ok(())
    }

    /// Enables or disables a user account.
    pub(super) async fn enable_person(&self, login: &str, enabled: bool) -> anyhow::Result<()> {
        let person = self.person(login).await?;
        let path = self.path(&format!("/users/{person}"));
        self.admin(Method::PUT, &path, Some(json!({"enabled": enabled})))
            .await?;
        Ok(())
    }

    /// Deletes a user account.
    pub(super) async fn delete_person(&self, login: &str) -> anyhow::Result<()> {
        let person = self.person(login).await?;
        let path = self.path(&format!("/users/{person}"));
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Withdraws the person's consent.
    pub(super) async fn revoke_consent(&self, login: &str) -> anyhow::Result<()> {
        let person = self.person(login).await?;
        let path = self.path(&format!("/users/{person}/consents/{CLIENT_ID}"));
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Enables or disables the client.
    pub(super) async fn enable_client(&self, enabled: bool) -> anyhow::Result<()> {
        let uuid = self.client_uuid().await?;
        let path = self.path(&format!("/clients/{uuid}"));
        let mut client: Value = self.admin(Method::GET, &path, None).await?.json().await?;
        if let Some(client) = client.as_object_mut() {
            client.insert("enabled".to_owned(), Value::Bool(enabled));
        }
        self.admin(Method::PUT, &path, Some(client)).await?;
        Ok(())
    }

    /// Changes settings of the realm.
    pub(super) async fn change(&self, settings: Value) -> anyhow::Result<()> {
        self.admin(Method::PUT, &self.path(""), Some(settings))
            .await?;
        Ok(())
    }

    /// Returns the number of refreshes that it has answered.
    pub(super) async fn refreshes(&self) -> anyhow::Result<usize> {
        self.events("REFRESH_TOKEN").await
    }

    /// Returns the number of refreshes that it has refused.
    pub(super) async fn refused_refreshes(&self) -> anyhow::Result<usize> {
        self.events("REFRESH_TOKEN_ERROR").await
    }

    async fn events(&self, kind: &str) -> anyhow::Result<usize> {
        let path = self.path(&format!("/events?type={kind}&max=10000"));
        let events: Vec<Value> = self.admin(Method::GET, &path, None).await?.json().await?;
        Ok(events.len())
    }

    async fn person(&self, login: &str) -> anyhow::Result<String> {
        let path = self.path(&format!("/users?exact=true&username={login}"));
        self.first_id(&path).await
    }

    async fn client_uuid(&self) -> anyhow::Result<String> {
        self.first_id(&self.path(&format!("/clients?clientId={CLIENT_ID}")))
            .await
    }

    async fn first_id(&self, path: &str) -> anyhow::Result<String> {
        let found: Value = self.admin(Method::GET, path, None).await?.json().await?;
        found
            .pointer("/0/id")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("Keycloak has nothing at {path}"))
    }

    /// Sends a request to its administration interface below `/admin/realms`.
    async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Response> {
        let url = format!("{}/admin/realms{path}", self.base());
        let mut request = self
            .http
            .request(method, &url)
            .bearer_auth(self.admin_token().await?);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        anyhow::bail!("{path} answered {status}: {}", answer.text().await?)
    }

    /// Returns a new administrator's token. A token lives for a minute.
    async fn admin_token(&self) -> anyhow::Result<String> {
        let url = format!(
            "{}/realms/master/protocol/openid-connect/token",
            self.base()
        );
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", ADMIN),
            ("password", PASSWORD),
        ];
        let answer = self.http.post(url).form(&form).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        answer
            .get("access_token")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .context("Keycloak did not issue a token for its administrator")
    }
}

impl SignInPages for Keycloak {
    async fn complete(
        &self,
        browser: &mut Browser,
        authorize: &Url,
        login: &str,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Page> {
        let person = Person {
            login,
            password: PASSWORD,
        };
        browser.submit_forms(authorize, person, arrived).await
    }
}

impl Server for Keycloak {
    fn process(&self) -> &Process {
        &self.process
    }

    fn userinfo(&self) -> String {
        format!("{}/protocol/openid-connect/userinfo", self.issuer())
    }

    async fn create_person(&self, login: &str) -> anyhow::Result<()> {
        self.add_person(login).await
    }

    async fn restart(&self) -> anyhow::Result<()> {
        self.start().await
    }

    async fn rotate_keys(&self, nth: u32) -> anyhow::Result<()> {
        let priority = 100 * (nth + 2);
        let realm: Value = self
            .admin(Method::GET, &self.path(""), None)
            .await?
            .json()
            .await?;
        let component = json!({
            "name": format!("key-{priority}"),
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": realm.get("id"),
            "config": {
                "priority": [priority.to_string()],
                "enabled": ["true"],
                "active": ["true"],
                "algorithm": ["RS256"],
                "keySize": ["2048"],
            },
        });
        self.admin(Method::POST, &self.path("/components"), Some(component))
            .await?;
        Ok(())
    }
}
