//! Ory Hydra. It has no user accounts, so this module is also the application in which people
//! sign in and consent.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::installation::Installation;
use super::process::Process;
use super::registration::{self, CLIENT_ID, CLIENT_SECRET};
use super::scenarios::Server;
use super::stack_client::{SignInPages, address, client};
use crate::browser::{Browser, Page};

/// Name of the provider at Latchkey.
pub(super) const NAME: &str = "hydra";
/// Name of the provider at which Latchkey has a key, and sessions end.
pub(super) const KEY_NAME: &str = "hydrakey";
/// Client of [`KEY_NAME`].
const KEY_CLIENT: &str = "latchkey-with-a-key";
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a replaced refresh token remains valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grace {
    /// The use of a replaced token ends the grant.
    None,
    /// A replaced token remains valid for a minute.
    Minute,
}

/// Hydra with its data in an SQLite file.
pub(super) struct Hydra {
    installation: Installation,
    port: u16,
    admin_port: u16,
    /// Port of the login and consent pages. Nothing listens on it, because redirects to it are
    /// not followed.
    pages_port: u16,
    public_url: String,
    process: Process,
    http: reqwest::Client,
}

impl Hydra {
    pub(super) fn new(installation: Installation, public_url: &str) -> anyhow::Result<Self> {
        for left in ["data.sqlite", "data.sqlite-shm", "data.sqlite-wal"] {
            let _ = std::fs::remove_file(installation.directory.join(left));
        }
        Ok(Self {
            installation,
            port: free_port()?,
            admin_port: free_port()?,
            pages_port: free_port()?,
            public_url: public_url.to_owned(),
            process: Process::default(),
            http: client()?,
        })
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn pages(&self) -> String {
        format!("http://127.0.0.1:{}", self.pages_port)
    }

    /// Returns the variables with which Latchkey uses this provider.
    pub(super) fn variables(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut variables = registration::variables(NAME, self.issuer());
        let key_file = self.installation.directory.join("client-key");
        std::fs::write(&key_file, registration::new_key("hydra")?)?;
        let with_key = [
            ("CLIENT_ID", KEY_CLIENT.to_owned()),
            ("SCOPES", "openid email profile offline_access".to_owned()),
            ("TOKEN_AUTH_METHOD", "private_key_jwt".to_owned()),
            ("PRIVATE_KEY_FILE", key_file.display().to_string()),
            ("SIGN_OUT", "provider".to_owned()),
        ];
        variables.extend(registration::variables_with(
            KEY_NAME,
            self.issuer(),
            with_key,
        ));
        Ok(variables)
    }

    /// Migrates its database, starts it and waits until it is ready.
    pub(super) async fn start(&self, grace: Grace) -> anyhow::Result<()> {
        let directory = &self.installation.directory;
        std::fs::write(
            directory.join("hydra.json"),
            self.configuration(grace).to_string(),
        )?;
        let log = directory.join("server.log");
        let program = directory.join("hydra");
        let run = |name: &str| ChildSpec::new(name, &program, directory, &log);
        let migrate = run("hydra migrate")
            .arg("migrate")
            .arg("sql")
            .arg("--yes")
            .arg("--config")
            .arg("hydra.json")
            .arg(format!("sqlite://{}", directory.join(DATA).display()));
        let status = Child::start(migrate)?.wait().await;
        anyhow::ensure!(
            status.is_some_and(|status| status.success()),
            "`hydra migrate sql` failed: {}",
            log.display()
        );
        let serve = run("hydra")
            .arg("serve")
            .arg("all")
            .arg("--dev")
            .arg("--sqa-opt-out")
            .arg("--config")
            .arg("hydra.json");
        let mut child = Child::start(serve)?;
        let ready = format!("{}/health/ready", self.issuer());
        child
            .wait_until(START_TIMEOUT, || async {
                let answer = self.http.get(&ready).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            })
            .await?;
        self.process.set_running(child);
        Ok(())
    }

    fn configuration(&self, grace: Grace) -> Value {
        let grace = match grace {
            Grace::None => "0s",
            Grace::Minute => "60s",
        };
        let data = self.installation.directory.join(DATA);
        json!({
            "dsn": format!("sqlite://{}?_fk=true", data.display()),
            "log": {"level": "info"},
            "secrets": {"system": ["only-for-this-test-and-long-enough"]},
            "serve": {
                "public": {"host": "127.0.0.1", "port": self.port},
                "admin": {"host": "127.0.0.1", "port": self.admin_port},
            },
            "urls": {
                "self": {"issuer": self.issuer()},
                "login": format!("{}/login", self.pages()),
                "consent": format!("{}/consent", self.pages()),
                "logout": format!("{}/logout", self.pages()),
            },
            "oauth2": {"grant": {"refresh_token": {"rotation_grace_period": grace}}},
        })
    }

    /// Creates the client that has a key.
    pub(super) async fn prepare_client_with_key(&self) -> anyhow::Result<()> {
        let client = json!({
            "client_id": KEY_CLIENT,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": "openid email profile offline_access",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "jwks_uri": registration::client_keys_url(&self.public_url),
            "redirect_uris": registration::redirect_uris(&self.public_url, KEY_NAME),
            "post_logout_redirect_uris": [registration::signed_out_uri(&self.public_url, KEY_NAME)],
            "backchannel_logout_uri":
                registration::backchannel_logout_url(&self.public_url, KEY_NAME),
            "backchannel_logout_session_required": true,
        });
        self.admin(Method::POST, "/clients", Some(client)).await?;
        Ok(())
    }

    /// Ends one session as an administrator. Hydra sends logout tokens for it.
    pub(super) async fn end_session(&self, session: &str) -> anyhow::Result<()> {
        let path = format!("/oauth2/auth/sessions/login?sid={session}");
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Creates the client.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
        let client = json!({
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": "openid email profile offline_access",
            "token_endpoint_auth_method": "client_secret_basic",
            "redirect_uris": registration::redirect_uris(&self.public_url, NAME),
        });
        self.admin(Method::POST, "/clients", Some(client)).await?;
        Ok(())
    }

    /// Deletes the client and with it every grant.
    pub(super) async fn delete_client(&self) -> anyhow::Result<()> {
        self.admin(Method::DELETE, &format!("/clients/{CLIENT_ID}"), None)
            .await?;
        Ok(())
    }

    /// Sets the lifetimes of new access and refresh tokens.
    pub(super) async fn set_token_lifetimes(
        &self,
        access: Duration,
        refresh: Duration,
    ) -> anyhow::Result<()> {
        let lives = json!({
            "authorization_code_grant_access_token_lifespan": format!("{}s", access.as_secs()),
            "authorization_code_grant_refresh_token_lifespan": format!("{}s", refresh.as_secs()),
            "refresh_token_grant_access_token_lifespan": "1h",
            "refresh_token_grant_refresh_token_lifespan": "720h",
        });
        let path = format!("/clients/{CLIENT_ID}/lifespans");
        self.admin(Method::PUT, &path, Some(lives)).await?;
        Ok(())
    }

    /// Ends the person's sessions as an administrator.
    pub(super) async fn log_out(&self, login: &str) -> anyhow::Result<()> {
        let path = format!("/oauth2/auth/sessions/login?subject={login}");
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Withdraws the person's consent.
    pub(super) async fn revoke_consent(&self, login: &str) -> anyhow::Result<()> {
        let path = format!("/oauth2/auth/sessions/consent?subject={login}&client={CLIENT_ID}");
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Returns the number of requests that its token endpoint has answered.
    pub(super) fn token_requests(&self) -> anyhow::Result<usize> {
        let log = std::fs::read_to_string(self.installation.directory.join("server.log"))?;
        let answered = |line: &&str| {
            line.contains("completed handling request") && line.contains("/oauth2/token")
        };
        Ok(log.lines().filter(answered).count())
    }

    /// Sends a request to its administration interface below `/admin`.
    async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:{}/admin{path}", self.admin_port);
        let mut request = self.http.request(method, &url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path} answered {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Accepts a login or consent request and returns the next URL for the browser.
    async fn accept(&self, what: &str, challenge: &str, body: Value) -> anyhow::Result<Url> {
        let path = format!("/oauth2/auth/requests/{what}/accept?{what}_challenge={challenge}");
        let answer = self.admin(Method::PUT, &path, Some(body)).await?;
        let next = answer.get("redirect_to").and_then(Value::as_str);
        Ok(Url::parse(
            next.context("Hydra answered without redirect_to")?,
        )?)
    }

    /// Answers the login, consent or logout page, and returns the next URL for the browser.
    async fn answer(&self, page: &Url, login: &str) -> anyhow::Result<Url> {
        let challenge = |name: &str| {
            page.query_pairs()
                .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        if let Some(challenge) = challenge("login_challenge") {
            // Hydra has a session only if the login is remembered.
            let accepted = json!({"subject": login, "remember": true, "remember_for": 3600});
            return self.accept("login", &challenge, accepted).await;
        }
        if let Some(challenge) = challenge("logout_challenge") {
            return self.accept("logout", &challenge, json!({})).await;
        }
        let challenge =
            challenge("consent_challenge").context("the URL is no page of the application")?;
        let path = format!("/oauth2/auth/requests/consent?consent_challenge={challenge}");
        let asked = self.admin(Method::GET, &path, None).await?;
        let consent = json!({
            "grant_scope": asked.get("requested_scope"),
            "session": {"id_token": {
                "email": address(login),
                "email_verified": true,
                "name": login,
            }},
        });
        self.accept("consent", &challenge, consent).await
    }
}

const DATA: &str = "data.sqlite";

impl SignInPages for Hydra {
    async fn complete(
        &self,
        browser: &mut Browser,
        authorize: &Url,
        login: &str,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Page> {
        let pages = self.pages();
        let own = |url: &Url| url.as_str().starts_with(&pages);
        let mut next = authorize.clone();
        // The login page, the consent page, and the redirect back.
        for _ in 0..3 {
            let page = browser
                .follow(&next, |url| arrived(url) || own(url))
                .await?;
            let sent = page.redirect_target()?;
            if arrived(sent) {
                return Ok(page);
            }
            next = self.answer(sent, login).await?;
        }
        anyhow::bail!("Hydra does not lead back; the last URL is {next}")
    }
}

impl Server for Hydra {
    fn process(&self) -> &Process {
        &self.process
    }

    fn userinfo(&self) -> String {
        format!("{}/userinfo", self.issuer())
    }

    /// Hydra has no user accounts.
    async fn create_person(&self, _login: &str) -> anyhow::Result<()> {
        Ok(())
    }

    /// After the restart a replaced token remains valid for a minute.
    async fn restart(&self) -> anyhow::Result<()> {
        self.start(Grace::Minute).await
    }

    /// Hydra signs with the newest key.
    async fn rotate_keys(&self, _nth: u32) -> anyhow::Result<()> {
        let key = json!({"alg": "RS256", "use": "sig", "kid": uuid::Uuid::new_v4()});
        self.admin(Method::POST, "/keys/hydra.openid.id-token", Some(key))
            .await?;
        Ok(())
    }
}
