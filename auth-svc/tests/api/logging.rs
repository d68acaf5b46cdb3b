use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use latchkey_demo_provider::{Config, Decision, DemoProvider, Flavour};
use latchkey_opening::OpeningKey;
use latchkey_testkit::{Role, TestDatabase, TraceReceiver};
use serde_json::Value;

use crate::support::{Browser, variables, workspace};

/// The trace and the span of a caller on the internet.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// The service as a process, as in production.
struct Service {
    child: Child,
    base: String,
    /// The log up to the line "listening".
    started: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Service {
    fn start(variables: &BTreeMap<String, String>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_auth-svc"))
            .env_clear()
            .envs(variables)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut started = String::new();
        while !line.contains("\"listening\"") {
            line.clear();
            assert!(
                output.read_line(&mut line).unwrap() > 0,
                "stopped before it listened"
            );
            started.push_str(&line);
        }
        let line: Value = serde_json::from_str(&line).unwrap();
        Self {
            child,
            base: format!("http://{}", line["address"].as_str().unwrap()),
            started,
            output,
        }
    }

    /// Stops the process with SIGTERM and returns its log.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(
            self.child.wait().unwrap().success(),
            "SIGTERM is an orderly end"
        );
        rest
    }
}

// R45, RP16
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_one_line_with_its_trace_id_and_no_line_holds_a_secret() {
    let database = TestDatabase::create().await;
    let demo = DemoProvider::start(Config::default()).await.unwrap();
    let key = OpeningKey::generate().unwrap().sealing_key().to_string();
    let mut variables = variables(&database.url(Role::Auth), &key);
    variables.extend(demo.environment());
    variables.insert("RUST_LOG".to_owned(), "debug,h2=info,hyper=info".to_owned());
    let receiver = TraceReceiver::start();
    let endpoint = receiver.endpoint().to_owned();
    variables.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint);
    workspace(database.pool(), "Acme", None, &["acme.example"]).await;
    let service = Service::start(&variables);

    let traceparent = ("traceparent", format!("00-{TRACE}-{SPAN}-01"));
    let mut browser = Browser::new(service.base.clone());
    browser.headers.push(traceparent);
    let mut round = async |person: &str| {
        let start = browser.get("/auth/google").await.location();
        let callback = demo.decide(&start, &Decision::allow(person)).await.unwrap();
        let path = callback[url::Position::BeforePath..].to_owned();
        (callback, browser.get(&path).await)
    };
    let (_, refused) = round("linus").await;
    assert_eq!(refused.status, 403);
    let (callback, signed_in) = round("ada").await;
    assert_eq!(signed_in.status, 302);
    // The error description comes through the browser, so it is untrusted text.
    let mut other = Browser::new(service.base.clone());
    let start = other.get("/auth/google").await.location();
    let start = url::Url::parse(&start).unwrap();
    let (_, state) = start.query_pairs().find(|(n, _)| n == "state").unwrap();
    let parameters = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("error", "access_denied")
        .append_pair(
            "error_description",
            "AADSTS50105: not assigned\n<b>forged line",
        )
        .append_pair("state", &state)
        .append_pair("iss", &demo.issuer(Flavour::Google))
        .finish();
    let denied = other
        .get(&format!("/auth/google/redirect?{parameters}"))
        .await;
    assert_eq!(denied.status, 403);
    assert!(!denied.body.contains("AADSTS") && !denied.body.contains("forged"));
    let (stored,): (Option<String>,) = sqlx::query_as("SELECT traceparent FROM auth.outbox")
        .fetch_one(database.pool())
        .await
        .unwrap();
    let session = browser.session().unwrap().to_owned();

    let log = service.stop();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |message: &str| {
        lines
            .iter()
            .filter(|line| line["message"] == message)
            .collect::<Vec<_>>()
    };
    let refusals = of("sign-in refused");
    assert_eq!(refusals.len(), 2, "{log}");
    assert_eq!(
        refusals[1]["error"],
        r#"the provider answered access_denied: "AADSTS50105: not assigned\n<b>forged line""#
    );
    let compared = refusals[0]["error"].as_str().unwrap();
    assert!(
        compared.contains("expected acme.example, got \"globex.example\""),
        "{compared}"
    );
    assert!(
        !compared.contains("linus"),
        "the name of a person is logged: {compared}"
    );
    let trace = refusals[0]["trace_id"].as_str().unwrap();
    assert!(
        refused.body.contains(trace),
        "the page shows the reference to report"
    );
    assert_eq!(refusals[0]["error.code"], "domain_not_allowed");
    let signed_in = of("signed in");
    assert_eq!(signed_in.len(), 1);
    let trace = signed_in[0]["trace_id"].as_str().unwrap();
    assert!(
        stored.unwrap().contains(trace),
        "the event continues the trace"
    );
    // Who sends a trace from the internet does not choose the trace of their request.
    assert!(!log.contains(TRACE), "{log}");
    let spans = receiver.spans();
    let span = spans
        .iter()
        .find(|span| span.trace_id == trace && span.kind == "server");
    let span = span.unwrap();
    assert_eq!(span.name, "GET /auth/{provider}/redirect");
    assert_eq!(span.parent_id, "");
    assert_eq!(span.links, [(TRACE.to_owned(), SPAN.to_owned())]);
    assert!(spans.iter().all(|span| span.trace_id != TRACE));

    let mut secrets: Vec<String> = demo
        .issued()
        .into_iter()
        .map(|issued| issued.token)
        .collect();
    secrets.push(session);
    secrets.extend(
        callback
            .query_pairs()
            .filter(|(name, _)| name == "state")
            .map(|(_, v)| v.into()),
    );
    for secret in secrets {
        assert!(!log.contains(&secret), "a secret is in the log: {secret}");
    }
}

// R50, R45
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_at_a_provider_logs_no_id_token_and_the_start_names_who_cannot_end_sessions() {
    let database = TestDatabase::create().await;
    let demo = DemoProvider::start(Config::default()).await.unwrap();
    let key = OpeningKey::generate().unwrap().sealing_key().to_string();
    let mut variables = variables(&database.url(Role::Auth), &key);
    variables.extend(demo.environment());
    for (name, value) in [
        ("RUST_LOG", "debug,h2=info,hyper=info"),
        ("AUTH_GOOGLE_SIGN_OUT", "provider"),
        ("AUTH_OIDC_DEMO_SIGN_OUT", "provider"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    workspace(database.pool(), "Acme", None, &["acme.example"]).await;
    let service = Service::start(&variables);
    let warnings: Vec<&str> = service
        .started
        .lines()
        .filter(|line| line.contains("end_session_endpoint"))
        .collect();
    assert_eq!(warnings.len(), 1, "{}", service.started);
    assert!(warnings[0].contains("AUTH_GOOGLE_SIGN_OUT is provider"));

    let mut browser = Browser::new(service.base.clone());
    let start = browser.get("/auth/oidc/demo").await.location();
    let callback = demo.decide(&start, &Decision::allow("ada")).await.unwrap();
    browser.get(&callback[url::Position::BeforePath..]).await;
    assert!(browser.me().await.is_some());
    let response = browser.post("/auth/sign-out").await;
    let url = response.refresh_url();
    let id_token = demo.issued().into_iter().find(|one| one.kind == "id_token");
    let id_token = id_token.unwrap().token;
    assert!(url.contains(&id_token));

    let log = format!("{}{}", service.started.clone(), service.stop());
    assert!(log.contains("signed out"), "{log}");
    for part in id_token.split('.') {
        assert!(!log.contains(part), "a part of the ID token is in the log");
    }
}

// R8 R10
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_origin_is_logged_with_the_variable_that_allows_it() {
    let database = TestDatabase::create().await;
    let key = OpeningKey::generate().unwrap().sealing_key().to_string();
    let mut variables = variables(&database.url(Role::Auth), &key);
    let demo = DemoProvider::start(Config::default()).await.unwrap();
    variables.extend(demo.environment());
    let service = Service::start(&variables);
    let mut browser = Browser::new(service.base.clone());
    let ask = serde_json::json!({ "grantType": "cookie" });
    let posted = browser
        .post_json("https://one.example", "/auth/token", &ask)
        .await;
    assert_eq!(posted.status, 403);
    let long = format!("https://{}.example", "x".repeat(5_000));
    browser.post_json(&long, "/auth/sign-out", &ask).await;
    browser.headers = vec![
        ("origin", "https://two.example".to_owned()),
        ("access-control-request-method", "POST".to_owned()),
    ];
    browser.send(reqwest::Method::OPTIONS, "/auth/token").await;
    browser.headers.clear();
    let start = "/auth/google?returnTo=https://three.example/x%3Fsecret";
    assert_eq!(browser.get(start).await.status, 400);

    let log = service.stop();
    for origin in ["one", "two", "three"] {
        let origin = format!("https://{origin}.example");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&origin)).collect();
        assert!(
            lines.len() == 1 && lines[0].contains("ALLOWED_RETURN_ORIGINS"),
            "{origin}: {log}"
        );
    }
    assert!(!log.contains("secret"), "the query must not be logged");
    assert!(log.lines().all(|line| line.len() < 2_000), "{log}");
}
