//! Keycloak: a realm, a client that asks for consent, and people.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, free_port};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use url::Url;

use super::installation::Installation;
use super::process::Process;
use super::registration::{self, CLIENT_ID, CLIENT_SECRET};
use super::scenarios::Server;
use super::stack_client::{SignInPages, address, client};
use crate::browser::{Browser, Page, Person};

/// Name of the provider at Latchkey.
pub(super) const NAME: &str = "keycloak";
const REALM: &str = "latchkey";
const ADMIN: &str = "admin";
const PASSWORD: &str = "any";
/// The first start also builds the distribution.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// Keycloak in development mode with its data in files.
pub(super) struct Keycloak {
    installation: Installation,
    port: u16,
    public_url: String,
    process: Process,
    http: reqwest::Client,
}

impl Keycloak {
    pub(super) fn new(installation: Installation, public_url: &str) -> anyhow::Result<Self> {
        // Data of an earlier run.
        let _ = std::fs::remove_dir_all(installation.directory.join("data/h2"));
        Ok(Self {
            installation,
            port: free_port()?,
            public_url: public_url.to_owned(),
            process: Process::default(),
            http: client()?,
        })
    }

    pub(super) fn version(&self) -> String {
        format!("Keycloak {}", self.installation.version)
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn issuer(&self) -> String {
        format!("{}/realms/{REALM}", self.base())
    }

    /// Returns the variables with which Latchkey uses this provider.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        registration::variables(NAME, self.issuer())
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&self) -> anyhow::Result<()> {
        let directory = &self.installation.directory;
        let log = directory.join("server.log");
        let spec = ChildSpec::new("keycloak", "sh", directory, &log)
            .arg("bin/kc.sh")
            .arg("start-dev")
            .arg("--http-host=127.0.0.1")
            .arg(format!("--http-port={}", self.port))
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD)
            .env("KC_CACHE", "local")
            .env("JAVA_OPTS_APPEND", "-Xmx768m");
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

    /// Creates the realm and the client.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
        let realm = json!({
            "realm": REALM,
            "enabled": true,
            "sslRequired": "none",
            "accessTokenLifespan": 300,
            "revokeRefreshToken": true,
            "refreshTokenMaxReuse": 0,
            "eventsEnabled": true,
            "enabledEventTypes": ["REFRESH_TOKEN"],
        });
        self.admin(Method::POST, "", Some(realm)).await?;
        let client = json!({
            "clientId": CLIENT_ID,
            "secret": CLIENT_SECRET,
            "publicClient": false,
            "standardFlowEnabled": true,
            "consentRequired": true,
            "redirectUris": registration::redirect_uris(&self.public_url, NAME),
        });
        self.admin(Method::POST, "/latchkey/clients", Some(client))
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
        self.admin(Method::POST, "/latchkey/users", Some(person))
            .await?;
        Ok(())
    }

    /// Enables or disables a user account.
    pub(super) async fn enable_person(&self, login: &str, enabled: bool) -> anyhow::Result<()> {
        let path = format!("/latchkey/users/{}", self.person(login).await?);
        self.admin(Method::PUT, &path, Some(json!({"enabled": enabled})))
            .await?;
        Ok(())
    }

    /// Deletes a user account.
    pub(super) async fn delete_person(&self, login: &str) -> anyhow::Result<()> {
        let path = format!("/latchkey/users/{}", self.person(login).await?);
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Returns the ids of the person's offline sessions at the client.
    pub(super) async fn sessions(&self, login: &str) -> anyhow::Result<Vec<String>> {
        let path = format!(
            "/latchkey/users/{}/offline-sessions/{}",
            self.person(login).await?,
            self.client_uuid().await?
        );
        let sessions: Vec<Value> = self.admin(Method::GET, &path, None).await?.json().await?;
        let ids = sessions.iter().filter_map(|session| session.get("id"));
        Ok(ids.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Ends every session of the person as an administrator.
    pub(super) async fn log_out(&self, login: &str) -> anyhow::Result<()> {
        let path = format!("/latchkey/users/{}/logout", self.person(login).await?);
        self.admin(Method::POST, &path, None).await?;
        for session in self.sessions(login).await? {
            let path = format!("/latchkey/sessions/{session}?isOffline=true");
            self.admin(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    /// Withdraws the person's consent.
    pub(super) async fn revoke_consent(&self, login: &str) -> anyhow::Result<()> {
        let person = self.person(login).await?;
        let path = format!("/latchkey/users/{person}/consents/{CLIENT_ID}");
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Enables or disables the client.
    pub(super) async fn enable_client(&self, enabled: bool) -> anyhow::Result<()> {
        let path = format!("/latchkey/clients/{}", self.client_uuid().await?);
        let mut client: Value = self.admin(Method::GET, &path, None).await?.json().await?;
        if let Some(client) = client.as_object_mut() {
            client.insert("enabled".to_owned(), Value::Bool(enabled));
        }
        self.admin(Method::PUT, &path, Some(client)).await?;
        Ok(())
    }

    /// Changes settings of the realm.
    pub(super) async fn change(&self, settings: Value) -> anyhow::Result<()> {
        self.admin(Method::PUT, "/latchkey", Some(settings)).await?;
        Ok(())
    }

    /// Returns the number of refreshes that it has answered.
    pub(super) async fn refreshes(&self) -> anyhow::Result<usize> {
        let path = "/latchkey/events?type=REFRESH_TOKEN&max=10000";
        let events: Vec<Value> = self.admin(Method::GET, path, None).await?.json().await?;
        Ok(events.len())
    }

    async fn person(&self, login: &str) -> anyhow::Result<String> {
        let path = format!("/latchkey/users?exact=true&username={login}");
        self.first_id(&path).await
    }

    async fn client_uuid(&self) -> anyhow::Result<String> {
        self.first_id(&format!("/latchkey/clients?clientId={CLIENT_ID}"))
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
            .admin(Method::GET, "/latchkey", None)
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
        self.admin(Method::POST, "/latchkey/components", Some(component))
            .await?;
        Ok(())
    }
}
