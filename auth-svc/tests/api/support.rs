//! The application under test, a browser, the contents of the database, and fakes.

mod browser;
mod database;
pub mod front_end;
pub mod grpc_services;
mod name_server;
mod operator;

use std::collections::BTreeMap;
use std::sync::Arc;

use auth_svc::Application;
use latchkey_config::Environment;
use latchkey_demo_provider::{Config, Decision, DemoProvider};
use latchkey_domain::{Clock, SystemClock, WorkspaceId};
use latchkey_opening::{OpeningKey, OpeningKeys};
use latchkey_testkit::{Role, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use browser::{Browser, Response};
pub use database::{RowCounts, workspace};
pub use name_server::NameServer;
pub use operator::latchkey;

/// Public origin of the service, which is not the address that it listens on.
pub const PUBLIC: &str = "https://auth.test.example";

/// `APP_URL`: where a sign-in ends.
pub const APP: &str = "https://app.test.example/";

/// A broker address on which no broker listens.
pub const NO_BROKER: &str = "amqp://127.0.0.1:1/%2f";

/// The key that signs access tokens (RFC 8037 appendix A).
pub const SIGNING_KEY: &str =
    "test:MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

/// A running auth-svc with its database and provider. It stops when it is dropped.
pub struct TestApp {
    pub base: String,
    /// Base URL of the health port.
    pub health: String,
    pub database: TestDatabase,
    pub demo: DemoProvider,
    pub opening: OpeningKeys,
    pub workspace: WorkspaceId,
    variables: BTreeMap<String, String>,
    stop: CancellationToken,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Returns the variables of a complete configuration.
pub fn variables(database_url: &str, sealing_key: &str) -> BTreeMap<String, String> {
    [
        ("HTTP_LISTEN", "127.0.0.1:0"),
        ("HEALTH_LISTEN", "127.0.0.1:0"),
        ("SHUTDOWN_DELAY", "0s"),
        ("PUBLIC_URL", PUBLIC),
        ("APP_URL", APP),
        ("DATABASE_URL", database_url),
        // With one connection, code that needs two at once fails.
        ("DATABASE_MAX_CONNECTIONS", "1"),
        ("AMQP_URL", NO_BROKER),
        ("SEALING_PUBLIC_KEY", sealing_key),
        (
            "FLOW_COOKIE_KEYS",
            "test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
        ),
        ("SESSION_SIGNING_KEYS", SIGNING_KEY),
        ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true"),
        ("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true"),
        ("CALENDAR_PROVIDER_GOOGLE_ENABLED", "true"),
        ("CALENDAR_PROVIDER_MICROSOFT_ENABLED", "true"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn serve(
    variables: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
    stop: &CancellationToken,
) -> (String, String, JoinHandle<()>) {
    let environment: Environment = variables.into_iter().collect();
    let application = Application::build_at(&environment, clock).unwrap();
    let base = format!("http://127.0.0.1:{}", application.port());
    let health = format!("http://{}", application.health_address().unwrap());
    let ended = tokio::spawn(run(application, stop.clone()));
    (base, health, ended)
}

async fn run(application: Application, stop: CancellationToken) {
    application.run_until_stopped(stop).await.unwrap();
}

impl TestApp {
    /// Starts with one workspace that approves acme.example, and without a broker.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with other variables; an empty value unsets one.
    pub async fn start_with(changes: &[(&str, &str)]) -> Self {
        let clock = Arc::new(SystemClock);
        Self::start_at(changes, clock.clone(), clock).await
    }

    /// Starts with other clocks for this service and for the provider.
    pub async fn start_at(
        changes: &[(&str, &str)],
        own: Arc<dyn Clock>,
        providers: Arc<dyn Clock>,
    ) -> Self {
        let database = TestDatabase::create().await;
        let config = Config {
            clock: providers,
            ..Config::default()
        };
        let demo = DemoProvider::start(config).await.unwrap();
        let key = OpeningKey::generate().unwrap();
        let opening = OpeningKeys::new(key, Vec::new()).unwrap();
        let mut variables = variables(
            &database.url(Role::Auth),
            &opening.sealing_key().to_string(),
        );
        variables.extend(demo.environment());
        variables.insert(
            "AUTH_OIDC_DEMO_SCOPES".to_owned(),
            "openid email profile offline_access".to_owned(),
        );
        variables.extend(
            changes
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
        );
        if variables
            .get("IS_MULTIWORKSPACE_ENABLED")
            .is_some_and(|on| on == "true")
        {
            // Required in this mode; these are the domains of all demo people.
            variables
                .entry("AUTH_OIDC_DEMO_EMAIL_DOMAINS".to_owned())
                .or_insert_with(|| {
                    "acme.example,berlin.acme.example,globex.example,mail.example".to_owned()
                });
        }
        let stop = CancellationToken::new();
        let (base, health, _) = serve(variables.clone(), own, &stop);
        let workspace =
            database::workspace(database.pool(), "Acme", Some("acme"), &["acme.example"]).await;
        Self {
            base,
            health,
            database,
            demo,
            opening,
            workspace,
            variables,
            stop,
        }
    }

    /// Starts another replica with other variables and returns its base URL.
    pub fn replica(&self, changes: &[(&str, &str)]) -> String {
        serve(self.variables(changes), Arc::new(SystemClock), &self.stop).0
    }

    /// Starts another replica that runs until `stop`. Returns its base URL, that of its
    /// health port, and its task.
    pub fn replica_until(
        &self,
        changes: &[(&str, &str)],
        stop: &CancellationToken,
    ) -> (String, String, JoinHandle<()>) {
        serve(self.variables(changes), Arc::new(SystemClock), stop)
    }

    /// Returns the variables of this application, with changes.
    pub fn variables(&self, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        for (name, value) in changes {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        variables
    }

    /// Creates another workspace.
    pub async fn workspace(&self, subdomain: &str, domains: &[&str]) -> WorkspaceId {
        database::workspace(self.database.pool(), subdomain, Some(subdomain), domains).await
    }

    /// Counts the rows of the schema `auth`.
    pub async fn row_counts(&self) -> RowCounts {
        database::row_counts(self.database.pool()).await
    }

    /// Returns the sign-in events in the outbox, oldest first.
    pub async fn events(&self) -> Vec<latchkey_proto::events::UserAuthenticated> {
        database::events(self.database.pool()).await
    }

    /// Returns a browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser::new(self.base.clone())
    }

    /// Sends a GET request to the health port.
    pub async fn operator(&self, path: &str) -> Response {
        Browser::new(self.health.clone()).get(path).await
    }

    /// Runs a whole flow as a person on the pages does: starts at `path`, decides at the
    /// provider, and returns the response of the callback.
    pub async fn run_flow(
        &self,
        browser: &mut Browser,
        path: &str,
        decision: &Decision,
    ) -> Response {
        let callback = self.run_flow_to_callback(browser, path, decision).await;
        browser.get(&callback).await
    }

    /// Follows a link to a page on which the person cannot continue, because it has no
    /// form, and returns its body.
    pub async fn body_without_form(&self, path: &str) -> String {
        let mut browser = self.browser();
        let led = browser.get(path).await.location();
        let page = browser.get(led.strip_prefix(PUBLIC).unwrap()).await;
        assert!(!page.body.contains("<form"), "{}", page.body);
        page.body
    }

    /// Runs a flow up to the callback, and returns the callback's path and query.
    pub async fn run_flow_to_callback(
        &self,
        browser: &mut Browser,
        path: &str,
        decision: &Decision,
    ) -> String {
        let provider = browser.start_through_page(path).await;
        self.decide(&provider, decision).await
    }

    /// Runs a whole flow that begins with a link to `path`, without a page before it.
    pub async fn run_flow_by_link(
        &self,
        browser: &mut Browser,
        path: &str,
        decision: &Decision,
    ) -> Response {
        let start = browser.get(path).await;
        assert_eq!(start.status, 302, "{path}: {}", start.body);
        let callback = self.decide(&start.location(), decision).await;
        browser.get(&callback).await
    }

    /// Decides at the provider and returns the callback's path and query.
    pub async fn decide(&self, authorize_url: &str, decision: &Decision) -> String {
        assert!(
            authorize_url.starts_with(self.demo.base_url()),
            "not sent to the provider but to {authorize_url}"
        );
        let url = self.demo.decide(authorize_url, decision).await.unwrap();
        assert!(url.as_str().starts_with(PUBLIC), "{url}");
        url[url::Position::BeforePath..].to_owned()
    }

    /// Signs a person in with Google.
    pub async fn signed_in(&self, person: &str) -> Browser {
        let mut browser = self.browser();
        // With consent, because no refresh token is stored in these tests.
        let response = self
            .run_flow(
                &mut browser,
                "/auth/google?prompt=consent",
                &Decision::allow(person),
            )
            .await;
        assert_eq!(response.location(), APP);
        browser
    }

    /// Changes columns of the stored grants.
    pub async fn change_grant(&self, change: &str) {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE vault.credential SET {change}"
        )))
        .execute(self.database.pool())
        .await
        .unwrap();
    }

    /// Stores a grant with these scopes for the identity of the newest event, as sync-svc
    /// would.
    pub async fn store_grant(&self, scopes: &[&str], dead: bool) {
        let event = self.events().await.pop().unwrap();
        database::store_grant(self.database.pool(), &event, scopes, dead).await;
    }
}
