//! The interface of a running demo provider.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use url::Url;

use crate::app::App;
use crate::held_answer::HeldAnswer;
use crate::http_server::{self, RunningServer};
use crate::id_token;
use crate::keys::KeyError;
use crate::state::State;
use crate::{
    Config, EndedSession, Endpoint, Fault, Flavour, Issued, Misbehaviour, PresentedRefreshToken,
    SampleResponse, Settings, TlsFiles,
};

/// Errors of a demo provider.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A signing key cannot be created.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The provider cannot listen.
    #[error("the demo provider cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// A file of the certificate or its key cannot be used.
    #[error("{} cannot be used for TLS: {problem}", .path.display())]
    Tls {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A request to the provider failed.
    #[error("the demo provider does not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// There is no sample response with this name.
    #[error("there is no sample response with the name {0}")]
    UnknownSample(String),
    /// The page did not redirect the browser.
    #[error("the demo provider did not redirect the browser: {status} {page}")]
    NoRedirect {
        /// HTTP status.
        status: u16,
        /// Body of the page.
        page: String,
    },
}

/// A running demo provider. It stops when it is dropped.
pub struct DemoProvider {
    app: Arc<App>,
    _running: RunningServer,
    browser: reqwest::Client,
}

impl std::fmt::Debug for DemoProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DemoProvider")
            .field("base_url", &self.app.base)
            .finish_non_exhaustive()
    }
}

/// Adds people to a demo provider of this process.
pub struct PeopleAdder(Arc<App>);

impl std::fmt::Debug for PeopleAdder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PeopleAdder").field(&self.0.base).finish()
    }
}

impl PeopleAdder {
    /// Adds people of acme.example with these short names.
    pub fn add(&self, names: &[String]) {
        self.0.state().people.add(names);
    }
}

/// What a person does on the consent page.
#[derive(Debug, Clone)]
pub struct Decision {
    fields: Vec<(&'static str, String)>,
}

impl Decision {
    /// The person (short name or address) allows everything.
    pub fn allow(person: &str) -> Self {
        Self {
            fields: vec![("person", person.to_owned())],
        }
    }

    /// Deselects a scope.
    #[must_use]
    pub fn without(mut self, scope: &str) -> Self {
        self.fields.push(("untick", scope.to_owned()));
        self
    }

    /// The person denies the request: `error=access_denied`.
    pub fn deny() -> Self {
        Self {
            fields: vec![("decision", "deny".to_owned())],
        }
    }

    /// The provider responds with another error.
    pub fn error(code: &str) -> Self {
        Self {
            fields: vec![("error", code.to_owned())],
        }
    }
}

impl DemoProvider {
    /// Starts a demo provider.
    ///
    /// # Errors
    /// The certificate cannot be used, or the provider cannot listen.
    pub async fn start(config: Config) -> Result<Self, DemoError> {
        let tls = config.tls.as_ref().map(TlsFiles::server_config);
        let (listener, address) = http_server::bind(config.listen)?;
        let settings = config.settings.clone();
        // The generation of an RSA key would block the runtime.
        let state = tokio::task::spawn_blocking(move || State::new(settings))
            .await
            .map_err(std::io::Error::other)??;
        let app = App::new(config, address, state);
        let running = RunningServer::start(Arc::clone(&app), listener, tls.transpose()?)?;
        let browser = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(30))
            .no_proxy()
            .build()?;
        Ok(Self {
            app,
            _running: running,
            browser,
        })
    }

    /// Returns the address that the provider listens on.
    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// Returns the public URL without a slash at its end, usually `http://127.0.0.1:<port>`.
    pub fn base_url(&self) -> &str {
        &self.app.base
    }

    /// Returns the issuer of a flavour. For Microsoft it is the authority, to which the tenant
    /// and `/v2.0` are added.
    pub fn issuer(&self, flavour: Flavour) -> String {
        format!("{}/{}", self.app.base, flavour.name())
    }

    /// Returns the id of the client.
    pub fn client_id(&self) -> &str {
        &self.app.config.client_id
    }

    /// Returns the secret of the client.
    pub fn client_secret(&self) -> &str {
        &self.app.config.client_secret
    }

    /// Returns `AUTH_GOOGLE_…`, `AUTH_MICROSOFT_…` and `AUTH_OIDC_DEMO_…` for the services. The
    /// caller enables mail and calendar.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.app.environment()
    }

    /// Submits a person's decision on the page at `authorize_url`. Returns the target of the
    /// redirect. Over TLS, the system must trust the certificate.
    pub async fn decide(&self, authorize_url: &str, decision: &Decision) -> Result<Url, DemoError> {
        let answer = self
            .browser
            .post(authorize_url)
            .form(&decision.fields)
            .send()
            .await?;
        let status = answer.status().as_u16();
        let location = answer
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| Url::parse(value).ok());
        match location {
            Some(url) => Ok(url),
            None => Err(DemoError::NoRedirect {
                status,
                page: answer.text().await.unwrap_or_default(),
            }),
        }
    }

    /// Returns the number of requests to an endpoint.
    pub fn count(&self, flavour: Flavour, endpoint: Endpoint) -> u64 {
        self.counter(&format!("{}.{}", flavour.name(), endpoint.name()))
    }

    /// Returns the number of token requests with `grant_type=refresh_token`.
    pub fn refreshes(&self, flavour: Flavour) -> u64 {
        self.counter(&format!("{}.token.refresh_token", flavour.name()))
    }

    /// Returns a counter by its name in `/control/counters`.
    pub fn counter(&self, name: &str) -> u64 {
        self.app
            .state()
            .counters
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// Resets all counters.
    pub fn forget_counters(&self) {
        self.app.state().counters.clear();
    }

    /// Queues a fault.
    pub fn inject(&self, fault: Fault) {
        self.app.state().faults.push(fault);
    }

    /// Holds the answer to the next token request with this `grant_type`. The receiver gets a
    /// sender as soon as the request was handled; the answer is sent when that sender sends or is
    /// dropped. No answer is held after the receiver is dropped.
    pub fn hold_answer(
        &self,
        flavour: Flavour,
        grant_type: &str,
    ) -> oneshot::Receiver<oneshot::Sender<()>> {
        let (held, receiver) = HeldAnswer::new(flavour, grant_type);
        self.app.state().held_answers.push(held);
        receiver
    }

    /// Answers every refresh with this token with the named sample response from now on.
    ///
    /// # Errors
    /// There is no sample response with this name.
    pub fn respond_with_sample(&self, refresh_token: &str, name: &str) -> Result<(), DemoError> {
        let sample =
            SampleResponse::named(name).ok_or_else(|| DemoError::UnknownSample(name.to_owned()))?;
        let mut state = self.app.state();
        state
            .sample_responses
            .insert(refresh_token.to_owned(), sample);
        Ok(())
    }

    /// Removes the queued faults.
    pub fn forget_faults(&self) {
        self.app.state().faults.clear();
    }

    /// Sets or ends a misbehaviour of a flavour.
    pub fn misbehave(&self, flavour: Flavour, how: Option<Misbehaviour>) {
        let mut state = self.app.state();
        match how {
            Some(how) => state.misbehaviours.insert(flavour, how),
            None => state.misbehaviours.remove(&flavour),
        };
    }

    /// Signs with a new key from now on.
    pub fn rotate_keys(&self, flavour: Flavour, keep_old: bool) -> Result<(), DemoError> {
        Ok(self.app.state().rotate_keys(flavour, keep_old)?)
    }

    /// Returns a logout token (OpenID Connect Back-Channel Logout 1.0) with these claims, which
    /// replace or, with `null`, remove the usual ones. It names nobody unless they do.
    pub fn logout_token(
        &self,
        flavour: Flavour,
        claims: &Map<String, Value>,
    ) -> Result<String, DemoError> {
        let state = self.app.state();
        Ok(id_token::sign_logout_token(
            &self.app, &state, flavour, claims,
        )?)
    }

    /// Signs with a new key under the same `kid` from now on.
    pub fn replace_key(&self, flavour: Flavour) -> Result<(), DemoError> {
        Ok(self.app.state().replace_key(flavour)?)
    }

    /// Grants scopes to the client without a browser. Returns access and refresh token, or
    /// `None` if there is no such person.
    pub fn grant(
        &self,
        flavour: Flavour,
        person: &str,
        scopes: &[&str],
    ) -> Option<(String, String)> {
        crate::token::grant(&self.app, flavour, person, scopes)
    }

    /// Revokes every grant of a person, or those of one flavour.
    pub fn revoke(&self, person: &str, flavour: Option<Flavour>) {
        let mut state = self.app.state();
        if let Some(id) = state.people.get(person).map(|person| person.id.clone()) {
            state.revoke_person(&id, flavour);
        }
    }

    /// Adds people of acme.example with these short names.
    pub fn add_people(&self, names: &[String]) {
        self.people_adder().add(names);
    }

    /// The same for a task that outlives this borrow.
    pub fn people_adder(&self) -> PeopleAdder {
        PeopleAdder(Arc::clone(&self.app))
    }

    /// Sets claims that replace or extend a person's. `null` removes a claim.
    pub fn set_claims(&self, person: &str, claims: Map<String, Value>) {
        if let Some(person) = self.app.state().people.get_mut(person) {
            person.claims = claims;
        }
    }

    /// Changes settings.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.app.state().settings);
    }

    /// Returns every code and token that was issued.
    pub fn issued(&self) -> Vec<Issued> {
        self.app.state().issued.clone()
    }

    /// Returns when an access token expires, in seconds since 1970; `None` if it was not issued or is
    /// revoked.
    pub fn access_token_expires_at(&self, token: &str) -> Option<i64> {
        let state = self.app.state();
        state.tokens.access(token).map(|known| known.expires_at)
    }

    /// Returns the sessions that a client ended, the oldest first.
    pub fn ended_sessions(&self) -> Vec<EndedSession> {
        self.app.state().ended_sessions.clone()
    }

    /// Returns every refresh token that a client presented, in the order of time.
    pub fn presented(&self) -> Vec<PresentedRefreshToken> {
        self.app.state().presented.clone()
    }

    /// Returns `true` if a refresh token is still valid.
    pub fn refresh_token_works(&self, token: &str) -> bool {
        self.app
            .state()
            .tokens
            .refresh(token)
            .is_some_and(|known| !known.used)
    }
}
