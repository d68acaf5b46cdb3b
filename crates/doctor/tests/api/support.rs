//! A deployment: database, broker, demo provider and auth-svc, and doctor's view of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use auth_svc::Application;
use clap::Parser;
use latchkey_config::Environment;
use latchkey_demo_provider::{Config, DemoProvider};
use latchkey_doctor::{Doctor, Report};
use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::broker::BrokerConfig;
use latchkey_messaging::topology::declare;
use latchkey_testkit::{Role, TestBroker, TestDatabase};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

/// Public origin of auth-svc, which is not the address that it listens on.
pub const PUBLIC: &str = "https://auth.test.example";

/// A public key of RFC 8037 appendix A.6.
pub const SEALING_KEY: &str = "k1:3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08";

/// The key that signs access tokens (RFC 8037 appendix A).
pub const SIGNING_KEY: &str =
    "test:MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

/// Scopes that Google's people grant if they tick everything.
pub const EVERY_SCOPE: [&str; 2] = [
    "https://www.googleapis.com/auth/gmail.readonly",
    "https://www.googleapis.com/auth/calendar.events",
];

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    doctor: Doctor,
}

/// Doctor with these arguments.
pub fn doctor(arguments: &[&str]) -> Doctor {
    let program = std::iter::once("doctor");
    Arguments::try_parse_from(program.chain(arguments.iter().copied()))
        .unwrap()
        .doctor
}

/// A deployment. auth-svc stops when it is dropped.
pub struct Deployment {
    pub database: TestDatabase,
    pub broker: TestBroker,
    /// Stops when it is dropped.
    _demo: DemoProvider,
    /// Where auth-svc is reached.
    pub entry_point: String,
    /// Its operator's port.
    pub operator_port: String,
    /// The environment of an operator: that of auth-svc with the operator's role.
    pub variables: BTreeMap<String, String>,
    stop: CancellationToken,
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn redirect_uris() -> Vec<String> {
    [
        "/auth/google/redirect",
        "/auth/google-apis/get-access-token",
        "/auth/microsoft/redirect",
        "/auth/microsoft-apis/get-access-token",
        "/auth/oidc/demo/redirect",
        "/auth/oidc-apis/demo/get-access-token",
    ]
    .map(|path| format!("{PUBLIC}{path}"))
    .into()
}

fn base_variables(database: &str, broker: &str) -> BTreeMap<String, String> {
    [
        ("HTTP_LISTEN", "127.0.0.1:0"),
        ("HEALTH_LISTEN", "127.0.0.1:0"),
        ("SHUTDOWN_DELAY", "0s"),
        ("PUBLIC_URL", PUBLIC),
        ("APP_URL", "https://app.test.example/"),
        ("DATABASE_URL", database),
        ("DATABASE_MAX_CONNECTIONS", "2"),
        ("AMQP_URL", broker),
        ("SEALING_PUBLIC_KEY", SEALING_KEY),
        (
            "FLOW_COOKIE_KEYS",
            "test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
        ),
        ("SESSION_SIGNING_KEYS", SIGNING_KEY),
        ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true"),
        ("CALENDAR_PROVIDER_GOOGLE_ENABLED", "true"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Variables with changes; an empty value unsets one.
pub fn changed(
    variables: &BTreeMap<String, String>,
    changes: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let mut variables = variables.clone();
    for (name, value) in changes {
        variables.insert((*name).to_owned(), (*value).to_owned());
    }
    variables
}

impl Deployment {
    /// A deployment with Google, Microsoft and an OpenID provider, the workspace Acme for
    /// acme.example, and everything declared at the broker.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with other variables.
    pub async fn start_with(changes: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let broker = TestBroker::create().await;
        let connection = BrokerConfig::parse(broker.url(), "test").unwrap();
        let connection = connection.connect().await.unwrap();
        assert_eq!(declare(&connection).await.unwrap(), []);
        connection.close(200, "declared".into()).await.unwrap();
        let config = Config {
            redirect_uris: redirect_uris(),
            ..Config::default()
        };
        let demo = DemoProvider::start(config).await.unwrap();

        let mut variables = base_variables(&database.url(Role::Auth), broker.url());
        variables.extend(demo.environment());
        let variables = changed(&variables, changes);
        let environment: Environment = variables.clone().into_iter().collect();
        let application = Application::build_at(&environment, Arc::new(SystemClock)).unwrap();
        let entry_point = format!("http://127.0.0.1:{}", application.port());
        let operator_port = format!("http://{}", application.health_address().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { application.run_until_stopped(stopped).await.unwrap() });

        let operator = database.url(Role::Operator);
        let deployment = Self {
            variables: changed(&variables, &[("DATABASE_URL", operator.as_str())]),
            database,
            broker,
            _demo: demo,
            entry_point,
            operator_port,
            stop,
        };
        deployment.workspace("Acme", &["acme.example"]).await;
        deployment
    }

    /// Executes a statement as the owner of the database.
    pub async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(self.database.pool())
            .await
            .unwrap();
    }

    /// Creates a workspace.
    pub async fn workspace(&self, name: &str, domains: &[&str]) {
        let pool = self.database.pool();
        let label = name.to_lowercase();
        let id = auth_svc::store::workspace::create(pool, name, Some(&label))
            .await
            .unwrap();
        for domain in domains {
            auth_svc::store::workspace::domain::approve_domain(pool, id, domain, true)
                .await
                .unwrap();
        }
    }

    /// Stores a member of the only workspace with an account at Google, as a sign-in would.
    pub async fn person(&self, address: &str, scopes: &[&str]) {
        let scopes = scopes.join("\",\"");
        self.sql(&format!(
            "WITH person AS (
                 INSERT INTO auth.app_user (id, email) VALUES (gen_random_uuid(), '{address}')
                 RETURNING id
             ), identity AS (
                 INSERT INTO auth.identity (id, user_id, provider, issuer, subject, email, email_verified)
                 SELECT gen_random_uuid(), id, 'google', 'i', '{address}', '{address}', true FROM person
             ), member AS (
                 INSERT INTO auth.workspace_member (workspace_id, user_id, joined_by)
                 SELECT w.id, person.id, 'APPROVED_DOMAIN' FROM person, auth.workspace w
             ), account AS (
                 INSERT INTO sync.connected_account
                     (id, workspace_id, user_id, provider, issuer, subject, handle, last_authenticated_at)
                 SELECT gen_random_uuid(), w.id, person.id, 'google', 'i', '{address}', '{address}', now()
                 FROM person, auth.workspace w RETURNING *
             ), credential AS (
                 INSERT INTO vault.credential
                     (account_id, workspace_id, user_id, provider, issuer, subject, handle,
                      sealed_refresh_token, granted_scopes, authenticated_at)
                 SELECT id, workspace_id, user_id, provider, issuer, subject, handle,
                        decode('01026b31' || repeat('00', 64), 'hex'), '{{\"{scopes}\"}}', now()
                 FROM account
             )
             INSERT INTO sync.channel (id, account_id, kind, sync_status, sync_stage)
             SELECT gen_random_uuid(), id, kind, 'ACTIVE', stage
             FROM account, (VALUES ('MESSAGE', 'MESSAGES_IMPORT_ONGOING'),
                                   ('CALENDAR', 'CALENDAR_EVENTS_IMPORT_ONGOING')) AS v (kind, stage)"
        ))
        .await;
    }

    /// Examines the deployment with the operator's environment.
    pub async fn examine(&self, arguments: &[&str]) -> Report {
        self.examine_with(arguments, &[]).await
    }

    /// The same with other variables.
    pub async fn examine_with(&self, arguments: &[&str], changes: &[(&str, &str)]) -> Report {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        self.examine_at(arguments, changes, clock).await
    }

    /// The same with another clock.
    pub async fn examine_at(
        &self,
        arguments: &[&str],
        changes: &[(&str, &str)],
        clock: Arc<dyn Clock>,
    ) -> Report {
        let environment = changed(&self.variables, changes).into_iter().collect();
        let mut all = vec!["--entry-point", &self.entry_point];
        let names_another = |argument| ["--after-deploy", "--entry-point"].contains(argument);
        if arguments.iter().any(names_another) {
            all.clear();
        }
        all.extend(arguments);
        let report = doctor(&all).examine(&environment, clock).await.unwrap();
        // With --nocapture this is the example of docs/doctor.md.
        eprintln!("{report}");
        report
    }
}

/// The codes of the findings.
pub fn codes(report: &Report) -> Vec<String> {
    let report = report.to_json();
    let findings = report["findings"].as_array().unwrap();
    let code = |finding: &Value| finding["code"].as_str().unwrap().to_owned();
    findings.iter().map(code).collect()
}

/// The first line names the cause, and the finding says what to do.
pub fn assert_cause(report: &Report, code: &str, first_line: &[&str], remedy: &str) {
    let text = report.to_string();
    assert_eq!(report.cause(), Some(code), "{text}");
    let first = text.lines().next().unwrap();
    for words in first_line {
        assert!(first.contains(words), "{words} is not in: {first}\n{text}");
    }
    let json = report.to_json();
    let told = json["findings"][0]["do"].as_str().unwrap();
    assert!(told.contains(remedy), "{remedy} is not in: {told}\n{text}");
    assert!(text.contains(told), "{text}");
}

/// Nothing is found.
pub fn assert_healthy(report: &Report) {
    assert!(report.is_healthy(), "{report}");
    assert!(report.to_string().starts_with("no finding: "), "{report}");
}

/// The checks that looked.
pub fn looked(report: &Report) -> Vec<String> {
    let report = report.to_json();
    let checks = report["checks"].as_array().unwrap();
    let checks = checks.iter().filter(|check| check["looked"] == true);
    checks
        .map(|check| check["check"].as_str().unwrap().to_owned())
        .collect()
}
